"""Where records stand in CSV and TSV: a record is as many lines as its quotes keep open."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from sqsd_lint.fix.content import Opener
from sqsd_lint.fix.locate_lines import Take
from sqsd_lint.fix.plan_types import Span
from sqsd_lint.read.jsonl import numbered_lines
from sqsd_lint.read.problems import Unreadable
from sqsd_lint.read.source import Source


class Record(NamedTuple):
    """A record that is not blank; `cells` is None where it is malformed."""

    cells: list[str] | None
    start: int
    end: int


def locate_records(
    open_content: Opener, wanted: AbstractSet[int], take: Take, *, delimiter: str
) -> dict[int, Span]:
    """The spans of the wanted rows by number, the header not counted.

    Raises:
        Unreadable, OSError, EOFError, zlib.error: the content cannot be read to its end.
    """
    found: dict[int, Span] = {}
    with open_content() as source:
        records = read_records(source, delimiter)
        names = next(records, Record([], 0, 0)).cells or []
        for index, (cells, start, end) in enumerate(records):
            if index in wanted:
                sound = cells is not None and len(cells) == len(names)
                take(index, dict(zip(names, cells or (), strict=True)) if sound else None)
                found[index] = Span(start, end, start, end)
    return found


def read_records(source: Source, delimiter: str) -> Iterator[Record]:
    """Every record that is not blank, the header first, with its place in bytes behind the byte order mark.

    Raises:
        Unreadable: a quote is never closed.
    """
    # The module's own limit is one for the whole process, so it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), source.limits.max_line_bytes))
    lines = _Lines(source)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.sound = True
        start = lines.start = lines.end
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if lines.ended:
                raise Unreadable("a quote is never closed", line=lines.number) from error
            yield Record(None, start, lines.end)
        else:
            if cells:
                yield Record(cells if lines.sound else None, start, lines.end)


class _Lines:
    """Feeds text lines to the csv module and knows how far it has come."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lines = numbered_lines(source)
        self.number = 0
        self.start = 0  # of the record, in bytes behind the byte order mark
        self.end = 0  # of the last line
        self.sound = True
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            self.number, offset, data, _ = next(self._lines)
        except StopIteration:
            self.ended = True
            raise
        self.end = offset - self._source.offset + len(data)
        if self.end - self.start > self._source.limits.max_line_bytes:
            raise Unreadable("a record is longer than max_line_bytes", line=self.number)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            self.sound = False
            return data.decode("utf-8", "replace")
