"""Find what leaves a text file with a row, from the bytes around the row that the reader has placed.

A line leaves as it is. An element of a JSON array goes with all that stands between it and the next one,
the comma included; the last ones of an array go with what stands before them. So the elements that stay
keep their layout, and the rest is JSON. An object among others that follow one another goes with the white
space behind it.

How rows are cut out, and how the quarantine file is written, follows from the format: a `TextLayout`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqsd_lint.discover.default_excludes import LINES, TEXT, base_suffix
from sqsd_lint.fix.content import ByteSink, Opener, opener
from sqsd_lint.fix.plan_types import CannotBeFixed, RowSpan
from sqsd_lint.fix.texts import ArrayWriter, LineWriter, RowWriter, TableWriter
from sqsd_lint.read.json import holds_lines
from sqsd_lint.read.limits import KIB
from sqsd_lint.read.source import Source

_CHUNK = 256 * KIB
_BETWEEN = b" \t\r\n,"
"""What may stand between two elements."""

Spans = Mapping[int, tuple[int, int]]


def cut_lines(_: Opener, spans: Spans) -> dict[int, RowSpan]:
    """Return what leaves a file of lines with each of its rows: the row alone."""
    return {number: RowSpan(start, end, start, end) for number, (start, end) in spans.items()}


class _Placed(NamedTuple):
    """A row and what surrounds it.

    Attributes:
        before: where what stands before it ends, white space and commas left out, and its last byte, b"" at
            the start.
        after: where what stands behind it begins, and its first byte, b"" at the end.
        comma: whether a comma stands on either side.
    """

    number: int
    start: int
    end: int
    before: int
    before_byte: bytes
    after: int
    after_byte: bytes
    comma: bool


def cut_elements(open_content: Opener, spans: Spans) -> dict[int, RowSpan]:
    """Return what leaves a JSON document with each of these rows.

    Raises:
        CannotBeFixed: the whole document is one row.
        Unreadable, OSError, EOFError, zlib.error: as the content's reading.
    """
    with open_content() as source:
        placed = list(_placed(source, spans))
    found: dict[int, RowSpan] = {}
    run: list[_Placed] = []  # rows that leave, each the neighbour of the one before
    for row in placed:
        if not row.before_byte and not row.after_byte and not row.comma:
            raise CannotBeFixed("the document as a whole is one row")
        if run and (run[-1].after != row.start or run[-1].after_byte == b"]"):
            found.update(_cut(run))
            run = []
        run.append(row)
    found.update(_cut(run))
    return found


def _cut(run: list[_Placed]) -> Iterator[tuple[int, RowSpan]]:
    """Yield what leaves with each row of a run."""
    if not run:
        return
    nexts = [*(row.start for row in run[1:]), run[-1].after]
    in_array = run[0].before_byte == b"[" or run[0].comma or run[-1].after_byte == b"]" or run[-1].comma
    if not in_array or run[-1].after_byte != b"]":
        for row, cut_end in zip(run, nexts, strict=True):
            yield row.number, RowSpan(row.start, row.end, row.start, cut_end)
        return
    stays = -1 if run[0].before_byte == b"[" else run[0].before
    for row in run:
        yield row.number, RowSpan(row.start, row.end, row.start if stays < 0 else stays, row.end)
        stays = row.end


def _placed(source: Source, spans: Spans) -> Iterator[_Placed]:
    """Yield the rows in the order of the file, each with its surroundings."""
    content = _Content(source)
    for number, (start, end) in sorted(spans.items(), key=lambda item: item[1]):
        content.pass_until(start)
        before, before_byte, comma = content.last, content.last_byte, content.comma
        content.pass_row(end)
        after, after_byte = content.next_mark()
        yield _Placed(number, start, end, before, before_byte, after, after_byte, comma or content.comma)


class _Content:
    """A stream that is gone through once, and what its bytes outside of white space and commas were.

    Attributes:
        last: where the last such byte ends; last_byte: that byte, b"" before the first.
        comma: whether a comma came after it.
    """

    def __init__(self, source: Source) -> None:
        self._stream = source.stream
        self._at = source.offset
        self._data = b""
        self.last = self._at
        self.last_byte = b""
        self.comma = False

    def _take(self, size: int) -> bytes:
        """Return at most so many bytes, b"" at the end."""
        if not self._data:
            self._data = self._stream.read1(_CHUNK)
        taken, self._data = self._data[:size], self._data[size:]
        self._at += len(taken)
        return taken

    def pass_until(self, end: int) -> None:
        while self._at < end:
            data = self._take(end - self._at)
            if not data:
                raise EOFError
            kept = data.rstrip(_BETWEEN)
            if kept:
                self.last, self.last_byte = self._at - len(data) + len(kept), kept[-1:]
                self.comma = False
            self.comma = self.comma or b"," in data[len(kept) :]

    def pass_row(self, end: int) -> None:
        """Pass a row, whatever it ends in."""
        while self._at < end:
            data = self._take(end - self._at)
            if not data:
                raise EOFError
            self.last_byte = data[-1:]
        self.last, self.comma = end, False

    def next_mark(self) -> tuple[int, bytes]:
        """Return the place of the next byte that is no white space or comma, and the byte, b"" at the end."""
        while data := self._take(_CHUNK):
            kept = data.lstrip(_BETWEEN)
            passed = data[: len(data) - len(kept)]
            self.comma = self.comma or b"," in passed
            if kept:
                self._data = kept + self._data
                self._at -= len(kept)
                return self._at, kept[:1]
        return self._at, b""


Cuts = Callable[[Opener, Spans], dict[int, RowSpan]]
WriterOf = Callable[[ByteSink, Opener | None, Opener], RowWriter]


@dataclass(frozen=True, slots=True)
class TextLayout:
    """How a text format stores rows.

    Attributes:
        cuts: finds what leaves the file with each row, from the bytes that the row is.
        writer: writes the quarantine file; called with a sink, the existing quarantine file and the file.
        ambiguous: whether a file may be read in another way when rows are missing: it is checked then.
        must_stay: whether what is left must have this layout, too.
    """

    cuts: Cuts
    writer: WriterOf
    ambiguous: bool = False
    must_stay: bool = False


_LINES = TextLayout(cut_lines, LineWriter)
_RECORDS = TextLayout(cut_lines, TableWriter)
_ELEMENTS = TextLayout(cut_elements, ArrayWriter, ambiguous=True)
# JSON Lines under the name of JSON: one row alone would be a document, so the quarantine file is an array.
# What is left must be lines, of which a damaged one costs no other.
_LINES_IN_JSON = TextLayout(cut_lines, ArrayWriter, ambiguous=True, must_stay=True)


def layout_of(file: str, *, name: str | None = None) -> TextLayout | None:
    """Return the layout of a text file, None for Parquet and Arrow.

    Args:
        name: in place of the name, that of the file of which `file` is a copy.

    Raises:
        Unreadable, OSError, EOFError, zlib.error: its start cannot be read.
    """
    base = base_suffix(name or file)
    if base not in TEXT:
        return None
    if base not in (*LINES, ".json"):
        return _RECORDS
    with opener(file, name=name)() as source:
        lines, _ = holds_lines(source)
    if not lines:
        return _ELEMENTS
    return _LINES if base in LINES else _LINES_IN_JSON
