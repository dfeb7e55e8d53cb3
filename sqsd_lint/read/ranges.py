"""Parts of large files: lines by their bytes, Parquet by its row groups, and each part read on its own.

A part says where its first row stands in the file, so that rows have the places that they have when the file
is read whole. What can be cut: plain JSON Lines, and Parquet. Every other file is one part.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import msgspec

from sqsd_lint.discover.default_excludes import LINES, base_suffix, compression_of
from sqsd_lint.read import DEFAULT_LIMITS, read_rows
from sqsd_lint.read.formats import format_of
from sqsd_lint.read.json import holds_lines
from sqsd_lint.read.jsonl import read_lines
from sqsd_lint.read.limits import KIB, Limits
from sqsd_lint.read.parquet import read_parquet
from sqsd_lint.read.printed import refuse_printed
from sqsd_lint.read.problems import Unreadable, unreadable_file
from sqsd_lint.read.source import Source, open_source
from sqsd_lint.types import Problem, Row

_BLOCK = 1 << 20
_DIGEST_BYTES = 16


class Part(msgspec.Struct, frozen=True):
    """A part of a file.

    Attributes:
        unit: what `begin` and `end` count: bytes of lines, or row groups; "file" for all of a file.
        lines, rows: of the file before this part; lines of Parquet are its rows.
        count: rows of this part, blank lines included; None where that is not known before it is read.
        content: digest of the bytes that decide what its rows are, 32 hex digits.
    """

    unit: Literal["bytes", "row-groups", "file"]
    begin: int
    end: int
    lines: int
    rows: int
    count: int | None
    content: str


def parts_of(path: str, rows: int, limits: Limits = DEFAULT_LIMITS) -> list[Part]:
    """Cut a file into parts of about so many rows, by its content alone: the same on every machine.

    Args:
        rows: lines of a part; Parquet is cut between row groups, as soon as a part has so many rows.

    Raises:
        OSError: the file cannot be read.
    """
    suffix = base_suffix(path)
    try:
        if suffix in LINES and not compression_of(path):
            with open_source(path, limits, form=format_of(path)) as source:
                are_lines, _ = holds_lines(source)
            if are_lines:
                return _lines(path, rows)
        elif suffix in (".parquet", ".pq"):
            return _row_groups(path, rows)
    except Unreadable:
        pass  # whoever reads it says what is wrong
    return [Part("file", 0, 0, 0, 0, None, _digest(path))]


def _lines(path: str, rows: int) -> list[Part]:
    parts: list[Part] = []
    begin = end = lines = count = 0
    # Blank lines are no rows: they are counted apart, to number rows as a reader of the whole file does.
    blank = blanks = 0
    text = False  # whether the line so far has any
    hashed = _new_digest()
    with open(path, "rb") as file:
        for line in _long_lines(file):
            end += len(line)
            hashed.update(line)
            text = text or bool(line.strip(b" \t\r\n"))
            if not line.endswith(b"\n"):
                continue
            count += 1
            blank += not text
            text = False
            if count == rows:
                parts.append(Part("bytes", begin, end, lines, lines - blanks, count, hashed.hexdigest()))
                begin, lines, blanks, count, blank = end, lines + count, blanks + blank, 0, 0
                hashed = _new_digest()
    if end > begin or not parts:
        parts.append(Part("bytes", begin, end, lines, lines - blanks, None, hashed.hexdigest()))
    return parts


def _long_lines(file: io.BufferedReader) -> Iterator[bytes]:
    """Yield lines; of one that is longer than a block, the pieces."""
    while line := file.readline(_BLOCK):
        yield line


def _row_groups(path: str, rows: int) -> list[Part]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        footer = pq.read_metadata(path)
        counts = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
    except (pa.ArrowException, OSError, ValueError, MemoryError):
        counts = []
    content = _digest(path)
    if not sum(counts):
        return [Part("file", 0, 0, 0, 0, None, content)]
    parts: list[Part] = []
    begin = before = held = 0
    for number, count in enumerate(counts, start=1):
        held += count
        if held >= rows or number == len(counts):
            parts.append(Part("row-groups", begin, number, before, before, held, content))
            begin, before, held = number, before + held, 0
    return parts


def _digest(path: str) -> str:
    found = _new_digest()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def _new_digest() -> blake2b:
    return blake2b(digest_size=_DIGEST_BYTES, person=b"sqsd-lint/part/1")


def read_part(path: str, part: Part, limits: Limits = DEFAULT_LIMITS) -> Iterator[Row | Problem]:
    """Yield the rows of a part, at their places in the whole file; faults as `read_rows` has them."""
    if part.unit == "file":
        yield from read_rows(path, limits=limits)
        return
    try:
        with open_source(path, limits, form=format_of(path)) as source:
            for item in _read(source, path, part):
                if isinstance(item, Row):
                    refuse_printed(item)
                yield item
    except Unreadable as error:
        yield unreadable_file(path, error)
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        yield unreadable_file(path, Unreadable(message, hint="check the file and its disk"))


def _read(source: Source, path: str, part: Part) -> Iterator[Row | Problem]:
    if part.unit == "row-groups":
        for item in read_parquet(source, range(part.begin, part.end)):
            where = item.where
            if where.index >= 0:
                where = replace(where, line=where.line + part.lines, index=where.index + part.rows)
            yield replace(item, where=where)
        return
    with io.FileIO(path) as file:
        start = part.begin or source.offset  # behind a byte order mark
        file.seek(start)
        stream: io.BufferedReader = io.BufferedReader(_Until(file, part.end - start), 256 * KIB)
        lines = replace(source, stream=stream, offset=start, seekable=False)
        yield from read_lines(lines, part.lines, part.rows)


class _Until(io.RawIOBase):
    """So many bytes of a file from where it stands."""

    def __init__(self, file: io.FileIO, size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._file.read(min(len(buffer), self._left))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


def content_of_part(path: str, part: Part) -> str:
    """Return `Part.content` of what the file has there now.

    Raises:
        OSError: the file cannot be read.
    """
    if part.unit != "bytes":
        return _digest(path)
    found = _new_digest()
    left = part.end - part.begin
    with Path(path).open("rb") as file:
        file.seek(part.begin)
        while left and (block := file.read(min(left, _BLOCK))):
            found.update(block)
            left -= len(block)
    return found.hexdigest()
