"""Moving the rows of a text file: every byte goes to the one file or to the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from sqsd_lint.errors import SqsdLintError
from sqsd_lint.fix.content import BOM, NOWHERE, Opener, Sink
from sqsd_lint.fix.locate_records import read_records
from sqsd_lint.fix.plan_types import Span
from sqsd_lint.read.limits import KIB
from sqsd_lint.read.source import Source

_CHUNK = 256 * KIB
_SPACE = b" \t\r\n"
# More white space than this before the bracket is not layout.
_LONGEST_END = 64 * KIB

_MOVE_AWAY = "move the old quarantine file away"


def copy_without(open_content: Opener, spans: Iterable[Span], keep: Sink) -> Iterator[bytes]:
    """Copy a file's content to `keep` without the spans, and yield their rows in order.

    The copy is whole when the iterator has come to its end.

    Raises:
        EOFError: the content is shorter than its spans.
        Unreadable, OSError, zlib.error: as the content's reading.
    """
    with open_content() as source:
        if source.offset:
            keep.write(BOM)
        at = 0
        for span in sorted(spans, key=lambda span: span.start):
            _copy(source, span.cut_start - at, keep)
            _copy(source, span.start - span.cut_start, NOWHERE)
            yield _exactly(source, span.end - span.start)
            _copy(source, span.cut_end - span.end, NOWHERE)
            at = span.cut_end
        while data := source.stream.read(_CHUNK):
            keep.write(data)


def _copy(source: Source, size: int, sink: Sink) -> None:
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
    """JSON Lines, CSV and TSV: rows end with a line of their own.

    Args:
        existing: the quarantine file as it is, None when it is new.
        source: the file that the rows come from: a new quarantine file starts like it.
        delimiter: of CSV or TSV; "" for JSON Lines.

    Raises:
        SqsdLintError: the quarantine file has other columns.
    """

    def __init__(self, sink: Sink, existing: Opener | None, source: Opener, *, delimiter: str = "") -> None:
        self._sink = sink
        self._last = b""  # the end of what was written
        header = b""
        with source() as old:
            has_mark = bool(old.offset)
            line = old.stream.readline(old.limits.max_line_bytes)
            self._newline = b"\r\n" if line.endswith(b"\r\n") else b"\n"
        if delimiter:
            header, names = _header(source, delimiter)
            if existing is not None and names != _header(existing, delimiter)[1]:
                raise SqsdLintError("the quarantine file has other columns than the file", hint=_MOVE_AWAY)
        if existing is None:
            self._write(BOM if has_mark else b"")
            self._last = b""  # a mark is no line
            self._write(header)
            return
        with existing() as content:
            sink.write(BOM if content.offset else b"")
            while data := content.stream.read(_CHUNK):
                self._write(data)

    def add(self, row: bytes) -> None:
        if self._last not in (b"", b"\n"):
            self._write(self._newline)
        self._write(row)

    def finish(self) -> None:
        """Lines have no end of their own."""

    def _write(self, data: bytes) -> None:
        self._sink.write(data)
        self._last = data[-1:] or self._last


def _header(open_content: Opener, delimiter: str) -> tuple[bytes, list[str] | None]:
    """The header's bytes and the columns that it names."""
    with open_content() as source:
        header = next(read_records(source, delimiter), None)
    if header is None:
        return b"", None
    with open_content() as source:
        source.stream.read(header.start)
        return source.stream.read(header.end - header.start), header.cells


class ArrayWriter:
    """JSON documents: rows are the elements of an array.

    Raises:
        SqsdLintError: the quarantine file holds something else than an array.
    """

    def __init__(self, sink: Sink, existing: Opener | None, source: Opener) -> None:
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
