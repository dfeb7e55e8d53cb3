"""CSV and TSV with a header: RFC 4180 quoting, records numbered by the line on which they start.

A file that ends inside quotes, or a record over the limit, ends the reading: where the next record begins is
then anybody's guess. Any other damage costs the one record.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator

from sqsd_lint.read.jsonl import numbered_lines
from sqsd_lint.read.limits import in_words
from sqsd_lint.read.problems import Unreadable, bad_utf8, malformed_row
from sqsd_lint.read.source import Source
from sqsd_lint.types import Problem, Row, Where


def read_csv(source: Source) -> Iterator[Row | Problem]:
    """Rows of a comma-separated file; every value is a string."""
    return _read(source, ",")


def read_tsv(source: Source) -> Iterator[Row | Problem]:
    """Rows of a tab-separated file; every value is a string."""
    return _read(source, "\t")


class _Lines:
    """Feeds text lines to the csv module and remembers what the record they form should be known for."""

    def __init__(self, source: Source) -> None:
        self._lines = numbered_lines(source)
        self._limit = source.limits.max_line_bytes
        self.first = ""
        self.start = 0
        self.ended = False
        self.fault = ""
        self._size = 0
        self._line = 0

    def new_record(self) -> None:
        self.start = self._line + 1
        self.first = self.fault = ""
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            self._line, offset, data, _ = next(self._lines)
        except StopIteration:
            self.ended = True
            raise
        self._size += len(data)
        if self._size > self._limit:
            raise Unreadable(
                f"the record at line {self.start} is longer than max_line_bytes ({in_words(self._limit)})",
                hint="rows after it were not read: look for a quote that is never closed",
                line=self.start,
            )
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            self.fault = self.fault or bad_utf8(error, offset)
            text = data.decode("utf-8", "replace")
        self.first = self.first or text
        return text


def _read(source: Source, delimiter: str) -> Iterator[Row | Problem]:
    # The module's own limit is one for the whole process, so it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), source.limits.max_line_bytes))
    lines = _Lines(source)
    records = _records(lines, delimiter)
    header, fault = next(records, ([], ""))
    if fault:
        raise Unreadable(f"no header: {fault}", hint="the first line names the columns", line=lines.start)
    _check_header(header, delimiter, lines.start)
    for index, (cells, fault) in enumerate(records):
        where = Where(source.file, lines.start, index)
        if not fault and len(cells) != len(header):
            fault = f"{len(cells)} cells, where the header names {len(header)} columns"
        if fault:
            yield malformed_row(where, fault, hint="quote cells as RFC 4180 says, in UTF-8", text=lines.first)
        else:
            yield Row(where, dict(zip(header, cells, strict=True)))


def _records(lines: _Lines, delimiter: str) -> Iterator[tuple[list[str], str]]:
    """The cells of every record that is not blank, with its fault."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.new_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if lines.ended:
                raise Unreadable(
                    f"a quote in the record at line {lines.start} is never closed",
                    hint="rows after it were not read: close the quote",
                    line=lines.start,
                ) from None
            yield [], lines.fault or f"not {'TSV' if delimiter == chr(9) else 'CSV'}: {error}"
        else:
            if cells:
                yield cells, lines.fault


def _check_header(header: list[str], delimiter: str, line: int) -> None:
    twice = {name for name, count in Counter(header).items() if name and count > 1}
    if twice:
        raise Unreadable(
            f"the header names the column {min(twice)[:40]!r} twice", hint="rename one of them", line=line
        )
    other = next(
        (mark for mark in ",;\t|" if len(header) == 1 and mark != delimiter and mark in header[0]), ""
    )
    if other:
        raise Unreadable(
            f"the header is divided by {other!r}, where {delimiter!r} was expected",
            hint="save .csv files with commas and .tsv files with tabs",
            line=line,
        )
