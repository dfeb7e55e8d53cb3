"""CSV and TSV with a header: RFC 4180 quoting, records numbered by the line on which they start.

What spreadsheets add is read: a first line `sep=;`, lines that end in CR alone, blanks behind the commas,
empty rows at the end. A file that is divided, quoted or encoded in another way than its name promises is
refused once, in words that say how to save it.

A file that ends inside quotes, or a record over the limit, ends the reading: where the next record begins
is then anybody's guess. Any other damage costs the one record.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sqsd_lint.read.jsonl import numbered_lines
from sqsd_lint.read.limits import KIB, in_words
from sqsd_lint.read.problems import Unreadable, bad_utf8, malformed_row
from sqsd_lint.read.source import Source
from sqsd_lint.types import Problem, Row, Where

_BUFFER = 256 * KIB
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_DELIMITERS_KNOWN = ",;\t|"
# Excel's own note of what divides the cells, on a line before the header.
_SEPARATOR = re.compile(rb'\s*("?)sep=([ -~\t])\1[ \t]*(?:[\r\n]|\Z)', re.IGNORECASE)
# A letter of a code page inside of a word, such as the 0xe9 of "café" or the apostrophe 0x92 of "it's", or a
# word of nothing else.
_CODE_PAGE = re.compile(rb"[A-Za-z][\x80-\xff]|[\x80-\xff][A-Za-z]|[\x80-\xff]{4}")


class Record(NamedTuple):
    """A record that is not blank.

    Attributes:
        cells: its values, unfit for use where there is a fault.
        fault: what is wrong with it, "" when it is sound.
        line: 1-based line on which it starts.
        start, end: its bytes in the content, the end of its line included.
        text: its first line.
    """

    cells: list[str]
    fault: str
    line: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class CsvTable:
    """A CSV file whose header has been read.

    Attributes:
        names: of the columns.
        header: the record that names them.
        start, end: bytes of the content that stand before the rows: the header, and a `sep=` line before it.
        records: the rest.
        guessed: whether the delimiter is another than the suffix says, since that one divides no header.
    """

    names: list[str]
    start: int
    end: int
    header: Record
    delimiter: str
    records: Iterator[Record] = field(repr=False)
    guessed: bool = False


def read_csv(source: Source) -> Iterator[Row | Problem]:
    """Yield the rows of a comma-separated or tab-separated file; every value is a string.

    Raises:
        Unreadable: no header, no rows, or divided, quoted or encoded in another way than expected.
    """
    table = open_table(source)
    if table is None:
        return
    names, index = table.names, -1
    for index, record in enumerate(table.records):
        where = Where(source.file, record.line, index)
        fault = record.fault
        if not fault and len(record.cells) != len(names):
            fault = f"{len(record.cells)} cells, where the header names {len(names)} columns"
        if fault:
            if table.guessed and index == 0:
                expected = _DELIMITERS.get(source.suffix, ",")
                raise _other_delimiter("the header is", table.delimiter, expected, table.header.line)
            _refuse_other_delimiter(table, record)
            hint = "quote cells as RFC 4180 says, in UTF-8"
            yield malformed_row(where, fault, hint=hint, text=record.text)
        else:
            yield Row(where, dict(zip(names, record.cells, strict=True)), (record.start, record.end))
    if index < 0:
        raise Unreadable(
            "a header and no rows: the first line is taken for the names of the columns",
            hint="if it is a row, put a line with names before it, such as prompt,completion;"
            " if there are no rows, remove the file",
            line=table.header.line,
        )


def open_table(source: Source) -> CsvTable | None:
    """Read the header of a file, None where the file is blank.

    Raises:
        Unreadable: it is none.
    """
    # The module's own limit is one for the whole process, so it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), source.limits.max_line_bytes))
    source = _with_line_feeds(source)
    delimiter = _DELIMITERS.get(source.suffix, ",")
    lines = _Lines(source)
    start = -1
    if declared := _SEPARATOR.match(source.stream.peek(1)[:KIB]):
        delimiter = declared[2].decode("ascii")
        while not next(lines).strip():
            pass
        start = lines.start
    header = next(_records(lines, delimiter), None)
    if header is None:
        return None
    guess = _other_header(header, delimiter) if start < 0 else None
    if guess:
        delimiter, header = guess
    fault = header.fault or ("it holds NUL bytes" if "\0" in header.text else "")
    if fault:
        raise Unreadable(f"no header: {fault}", hint="the first line names the columns", line=header.line)
    names = header.cells
    # Blanks behind every comma, and quotes behind the blanks: what a cell holds begins behind them.
    spaced = len(names) > 1 and all(name[:1] == " " for name in names[1:])
    if spaced:
        names = next(csv.reader([header.text], delimiter=delimiter, skipinitialspace=True))
    names = [name.strip() for name in names]
    _check_header(names, header.line)
    return CsvTable(
        names,
        header.start if start < 0 else start,
        header.end,
        header,
        delimiter,
        _records(lines, delimiter, spaced=spaced),
        guess is not None,
    )


def _other_header(header: Record, delimiter: str) -> tuple[str, Record] | None:
    """Return a header of one name, or none, as another delimiter divides it; None where none does.

    Spreadsheets write semicolons where a comma is the decimal point, and no `sep=`.
    """
    if len(header.cells) > 1:
        return None
    for mark in _DELIMITERS_KNOWN:
        if mark == delimiter or mark not in header.text:
            continue
        try:
            cells = next(csv.reader([header.text], delimiter=mark, strict=True))
        except csv.Error:
            continue
        if len(cells) > 1 and all(map(str.strip, cells)):
            return mark, header._replace(cells=cells, fault="")
    return None


class _LineFeeds(io.RawIOBase):
    """A stream whose lines end in CR alone, with LF in place of each."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        data = self._stream.read1(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(data)] = data
        return len(data)


def _with_line_feeds(source: Source) -> Source:
    head = source.stream.peek(1)
    if b"\n" in head or b"\r" not in head:
        return source
    return replace(source, stream=io.BufferedReader(_LineFeeds(source.stream), _BUFFER))


class _Lines:
    """Feeds text lines to the csv module and remembers what the record they form should be known for.

    Attributes:
        line: 1-based number of the record's first line.
        start, end: bytes of the content before the record, and before what comes next.
        first, last: the record's first and its latest line.
        fault: what is wrong with its bytes.
        ended: whether the file is over.
    """

    def __init__(self, source: Source) -> None:
        self._lines = numbered_lines(source)
        self._limit = source.limits.max_line_bytes
        self._number = 0
        self._size = 0
        self._foreign = False  # whether a line held characters beyond ASCII
        self.line = 1
        self.start = self.end = source.offset
        self.first = self.last = self.fault = ""
        self.ended = False

    def new_record(self) -> None:
        self.line = self._number + 1
        self.start = self.end
        self.first = self.last = self.fault = ""
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            self._number, offset, data, _ = next(self._lines)
        except StopIteration:
            self.ended = True
            raise
        self.end = offset + len(data)
        self._size += len(data)
        if self._size > self._limit:
            raise Unreadable(
                f"the record at line {self.line} is longer than max_line_bytes ({in_words(self._limit)})",
                hint="rows after it were not read: look for a quote that is never closed",
                line=self.line,
            )
        try:
            text = data.decode("utf-8")
            self._foreign = self._foreign or not text.isascii()
        except UnicodeDecodeError as error:
            self.fault = self.fault or bad_utf8(error, offset)
            # Where other characters of UTF-8 stand in the file, a few of its bytes are damaged.
            self._foreign = self._foreign or not data.decode("utf-8", "ignore").isascii()
            if not self._foreign and _CODE_PAGE.search(data):
                raise Unreadable(
                    f"{self.fault}: saved in a code page, as Excel does under the name 'CSV'",
                    hint="in Excel, save as 'CSV UTF-8'; or iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW_FILE",
                    line=self._number,
                ) from None
            text = data.decode("utf-8", "replace")
        self.first = self.first or text
        self.last = text
        return text


def _records(lines: _Lines, delimiter: str, *, spaced: bool = False) -> Iterator[Record]:
    """Yield every record that is not blank."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=spaced, strict=True)
    while True:
        lines.new_record()
        cells: list[str] = []
        fault = ""
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if '\\"' in lines.first or '\\"' in lines.last:
                raise Unreadable(
                    f'at line {lines.line} a quote is written \\" where CSV writes it twice, as ""',
                    hint="write the file again, with quotes doubled: df.to_csv(path, index=False) does so",
                    line=lines.line,
                ) from None
            if lines.ended:
                raise Unreadable(
                    f"in the record at line {lines.line} a quote is never closed",
                    hint="rows after it were not read: close the quote",
                    line=lines.line,
                ) from None
            fault = f"not {'TSV' if delimiter == chr(9) else 'CSV'}: {error}"
        else:
            # What a spreadsheet leaves below the rows: commas and nothing between them.
            if not cells or ('"' not in lines.first and not any(map(str.strip, cells))):
                continue
        yield Record(cells, lines.fault or fault, lines.line, lines.start, lines.end, lines.first)


def _check_header(header: list[str], line: int) -> None:
    twice = {name for name, count in Counter(header).items() if name and count > 1}
    if twice:
        raise Unreadable(
            f"the header names the column {min(twice)[:40]!r} twice", hint="rename one of them", line=line
        )


def _refuse_other_delimiter(table: CsvTable, record: Record) -> None:
    """Raise Unreadable if header and record have equally many cells when they are divided otherwise."""
    for mark in _DELIMITERS_KNOWN:
        if mark == table.delimiter or mark not in table.header.text or mark not in record.text:
            continue
        try:
            sizes = {
                len(next(csv.reader([text], delimiter=mark, strict=True)))
                for text in (table.header.text, record.text)
            }
        except csv.Error:
            continue
        if len(sizes) == 1 and sizes != {1}:
            raise _other_delimiter("header and rows are", mark, table.delimiter, record.line)


def _other_delimiter(what: str, found: str, expected: str, line: int) -> Unreadable:
    return Unreadable(
        f"{what} divided by {found!r}, where {expected!r} was expected",
        hint=f"save .csv files with commas and .tsv files with tabs, or put a first line sep={found}",
        line=line,
    )
