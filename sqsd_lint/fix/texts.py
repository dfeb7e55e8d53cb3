"""Moving the rows of a text file: every byte goes to the one file or to the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from sqsd_lint.errors import SqsdLintError
from sqsd_lint.fix.content import BOM, NOWHERE, ByteSink, Opener
from sqsd_lint.fix.plan_types import RowSpan
from sqsd_lint.read.csv import open_table
from sqsd_lint.read.limits import KIB
from sqsd_lint.read.source import Source

_CHUNK = 256 * KIB
_SPACE = b" \t\r\n"
# More white space than this before the bracket is not layout.
_LONGEST_END = 64 * KIB

_MOVE_AWAY = "move the old quarantine file away"


def copy_without(open_content: Opener, spans: Iterable[RowSpan], keep: ByteSink) -> Iterator[bytes]:
    """Copy a file's content to `keep` without the spans, and yield their rows in order.

    The copy is whole when the iterator has come to its end.

    Raises:
        EOFError: the content is shorter than its spans.
        Unreadable, OSError, zlib.error: as the content's reading.
    """
    with open_content() as source:
        if source.offset:
            keep.write(BOM)
        at = source.offset
        for span in sorted(spans, key=lambda span: span.start):
            _copy(source, span.cut_start - at, keep)
            _copy(source, span.start - span.cut_start, NOWHERE)
            yield _exactly(source, span.end - span.start)
            _copy(source, span.cut_end - span.end, NOWHERE)
            at = span.cut_end
        while data := source.stream.read(_CHUNK):
            keep.write(data)


def _copy(source: Source, size: int, sink: ByteSink) -> None:
    while size > 0:
        data = _exactly(source, min(size, _CHUNK))
        sink.write(data)
        size -= len(data)


def _exactly(source: Source, size: int) -> bytes:
    data = source.stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


class RowWriter(Protocol):
    """Writes a quarantine file: what it held before, then rows, then its end."""

    def add(self, row: bytes) -> None: ...

    def finish(self) -> None: ...


class LineWriter:
    """JSON Lines: rows end with a line of their own.

    Args:
        existing: the quarantine file as it is, None when it is new.
        source: the file that the rows come from: a new quarantine file starts like it.

    Raises:
        SqsdLintError: the quarantine file cannot take the rows.
    """

    def __init__(self, sink: ByteSink, existing: Opener | None, source: Opener) -> None:
        self._sink = sink
        self._last = b""  # the end of what was written
        with source() as old:
            has_mark = bool(old.offset)
            self._newline = _newline(old.stream.readline(old.limits.max_line_bytes))
        header = self._header(existing, source)
        if existing is None:
            self._write(BOM if has_mark else b"")
            self._last = b""  # a mark is no line
            self._write(header)
            return
        with existing() as content:
            sink.write(BOM if content.offset else b"")
            while data := content.stream.read(_CHUNK):
                self._write(data)

    def _header(self, existing: Opener | None, source: Opener) -> bytes:
        """Return what a new quarantine file begins with."""
        return b""

    def add(self, row: bytes) -> None:
        if self._last not in (b"", self._newline[-1:]):
            self._write(self._newline)
        self._write(row)

    def finish(self) -> None:
        """Lines have no end of their own."""

    def _write(self, data: bytes) -> None:
        self._sink.write(data)
        self._last = data[-1:] or self._last


def _newline(line: bytes) -> bytes:
    """Return how lines end in a file that begins with this line, as far as the next line feed."""
    if line.endswith(b"\r\n"):
        return b"\r\n"
    return b"\r" if b"\r" in line and not line.endswith(b"\n") else b"\n"


class TableWriter(LineWriter):
    """CSV and TSV: lines below a header.

    Raises:
        SqsdLintError: the quarantine file has other columns.
    """

    def _header(self, existing: Opener | None, source: Opener) -> bytes:
        header, names = _header(source)
        if existing is not None and names != _header(existing)[1]:
            raise SqsdLintError("the quarantine file has other columns than the file", hint=_MOVE_AWAY)
        return header


def _header(open_content: Opener) -> tuple[bytes, tuple[str, list[str]] | None]:
    """Return the header's bytes, and what divides the columns, with their names."""
    with open_content() as source:
        table = open_table(source)
    if table is None:
        return b"", None
    with open_content() as source:
        source.stream.read(table.start - source.offset)
        return source.stream.read(table.end - table.start), (table.delimiter, table.names)


class ArrayWriter:
    """JSON documents: rows are the elements of an array.

    Raises:
        SqsdLintError: the quarantine file holds something else than an array.
    """

    def __init__(self, sink: ByteSink, existing: Opener | None, source: Opener) -> None:
        self._sink = sink
        self._end = b"\n]\n"
        self._empty = True
        if existing is not None:
            with existing() as content:
                self._copy(content)
            return
        with source() as old:
            sink.write((BOM if old.offset else b"") + b"[")

    def add(self, row: bytes) -> None:
        self._sink.write(b"\n" if self._empty else b",\n")
        self._sink.write(row.strip(_SPACE))
        self._empty = False

    def finish(self) -> None:
        self._sink.write(self._end)

    def _copy(self, content: Source) -> None:
        """Copy all but the end of the array, which goes behind the new elements."""
        if content.offset:
            self._sink.write(BOM)
        opened, held = False, b""
        while data := content.stream.read(_CHUNK):
            held += data
            if not opened and held.strip(_SPACE):
                if not held.lstrip(_SPACE).startswith(b"["):
                    raise SqsdLintError("the quarantine file is no JSON array", hint=_MOVE_AWAY)
                opened = True
                start = held.index(b"[") + 1
                self._sink.write(held[:start])
                held = held[start:]
            body = held.rstrip(_SPACE)
            body = body[:-1].rstrip(_SPACE) if body.endswith(b"]") else body
            if body:
                self._sink.write(body)
                self._empty = False
                held = held[len(body) :]
            if len(held) > _LONGEST_END:
                raise SqsdLintError(
                    f"the quarantine file holds over {_LONGEST_END // KIB} KiB of white space in one place",
                    hint=_MOVE_AWAY,
                )
        self._end = held
