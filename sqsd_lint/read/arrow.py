"""Arrow IPC, both as a stream (`datasets` writes these) and as a file (Feather version 2).

How far the batches of Arrow IPC data unfold, from their headers alone, before anything is decompressed.
pyarrow decompresses a batch whole before its size can be asked for. But every compressed buffer begins with
the size that it unfolds to, for which the decoder allocates memory and to which it holds the content. Where
those buffers lie is found as Message.fbs, File.fbs and Schema.fbs of the Arrow format describe it; the
headers are FlatBuffers (https://flatbuffers.dev/internals).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING

from sqsd_lint.read.columnar import damaged, rows_of_batches
from sqsd_lint.read.problems import Unreadable, missing_package, refuse_bomb
from sqsd_lint.read.source import Source
from sqsd_lint.types import Problem, Row

if TYPE_CHECKING:
    import pyarrow as pa


_CONTINUES = 0xFFFFFFFF
_DICTIONARY, _BATCH = 2, 3
_MAGIC_SIZE = 6
# Where Arrow 0.17 said that a batch is compressed, before the format had a field for it.
_EXPERIMENTAL = b"ARROW:experimental_compression"

_Sizes = Callable[[memoryview], Iterator[int]]


def _without_struct_errors(sizes: _Sizes) -> _Sizes:
    @wraps(sizes)
    def wrapped(data: memoryview) -> Iterator[int]:
        try:
            yield from sizes(data)
        except struct.error as error:
            raise ValueError(f"a header leads out of the file: {error}") from error

    return wrapped


@_without_struct_errors
def stream_sizes(data: memoryview) -> Iterator[int]:
    """Bytes that each batch of a stream unfolds to, with the dictionaries before it; last, those at the end.

    What is not compressed takes no memory of its own and counts as 0.

    Raises:
        ValueError: a header is damaged or cut off.
    """
    at, size = 0, 0
    while len(data) - at >= 8:
        header, body = _header(data, at)
        if body == at:
            break
        message = _Table.root(header)
        size += _unfolded(message, header, data[body:])
        if message.number(1, "<B") == _BATCH:
            yield size
            size = 0
        at = body + message.number(3, "<q")
        if not body <= at <= len(data):
            raise ValueError("a batch is cut off")
    yield size


@_without_struct_errors
def file_sizes(data: memoryview) -> Iterator[int]:
    """Bytes that each batch of an Arrow file unfolds to; the first with all dictionaries, which come first.

    Raises:
        ValueError: a header is damaged.
    """
    end = len(data) - _MAGIC_SIZE - 4
    (length,) = struct.unpack_from("<i", data, end)
    footer = _Table.root(data[max(0, end - length) : end])
    size = sum(_block(data, *block) for block in footer.structs(2, "<qi4xq"))
    for block in footer.structs(3, "<qi4xq"):
        yield size + _block(data, *block)
        size = 0


def _block(data: memoryview, at: int, header_size: int, _body_size: int) -> int:
    if at < 0:
        raise ValueError("a batch before the file begins")
    header, body = _header(data, at)
    if body - at != header_size:
        raise ValueError("a batch whose header has two sizes")
    return _unfolded(_Table.root(header), header, data[body:])


def _header(data: memoryview, at: int) -> tuple[memoryview, int]:
    """Return the header of the message at `at` and where its body begins: `at` itself at the stream's end."""
    (size,) = struct.unpack_from("<I", data, at)
    start = at + 4
    if size == _CONTINUES:  # what came before Arrow 0.15 has no such mark
        (size,) = struct.unpack_from("<I", data, start)
        start += 4
    if not size:
        return data[:0], at
    return data[start : start + size], start + size


def _unfolded(message: _Table, header: memoryview, body: memoryview) -> int:
    batch = message.table(2)
    if batch is not None and message.number(1, "<B") == _DICTIONARY:
        batch = batch.table(1)
    elif message.number(1, "<B") != _BATCH:
        return 0
    if batch is None or (batch.table(3) is None and _EXPERIMENTAL not in bytes(header)):
        return 0
    size = 0
    for offset, length in batch.structs(2, "<qq"):
        if length and offset >= 0:
            # -1 marks a buffer that was left as it is.
            size += max(0, struct.unpack_from("<q", body, offset)[0])
    return size


class _Table:
    """A FlatBuffers table: fields by number, each of which may be absent."""

    def __init__(self, data: memoryview, at: int) -> None:
        if at < 0:
            raise ValueError("a header leads out of the file")
        self._data = data
        self._at = at
        self._fields = at - self._read("<i", at)
        if self._fields < 0:
            raise ValueError("a header leads out of the file")

    @classmethod
    def root(cls, data: memoryview) -> _Table:
        return cls(data, struct.unpack_from("<I", data, 0)[0])

    def number(self, field: int, form: str) -> int:
        at = self._place(field)
        return self._read(form, at) if at else 0

    def table(self, field: int) -> _Table | None:
        at = self._place(field)
        return _Table(self._data, at + self._read("<I", at)) if at else None

    def structs(self, field: int, form: str) -> Iterator[tuple[int, ...]]:
        at = self._place(field)
        if not at:
            return iter(())
        at += self._read("<I", at)
        size = self._read("<I", at) * struct.calcsize(form)
        found = self._data[at + 4 : at + 4 + size]
        if len(found) < size:
            raise ValueError("a header is cut off")
        return struct.iter_unpack(form, found)

    def _place(self, field: int) -> int:
        """Return where a field lies, 0 where there is none."""
        entry = 4 + 2 * field
        if entry + 2 > self._read("<H", self._fields):
            return 0
        offset = self._read("<H", self._fields + entry)
        return self._at + offset if offset else 0

    def _read(self, form: str, at: int) -> int:
        number: int = struct.unpack_from(form, self._data, at)[0]
        return number


_FILE = b"ARROW1"
_FEATHER_1 = b"FEA1"


def read_arrow(source: Source) -> Iterator[Row | Problem]:
    """Rows of an Arrow file or stream; a row's line is its 1-based number.

    Raises:
        Unreadable: not Arrow, damaged, over a limit, or not seekable.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise missing_package("pyarrow", "an Arrow file") from error
    if not source.seekable:
        raise Unreadable("Arrow cannot be read from standard input", hint="save it to a file first")
    head = source.stream.peek(len(_FILE))
    if not head:
        raise Unreadable("empty, where Arrow data was expected")
    if head.startswith(_FEATHER_1):
        raise Unreadable("Feather version 1", hint="write it again as version 2, or as Parquet")
    # Mapped, not read: `datasets` writes files larger than memory. The map ends with the last batch that
    # refers to it; closing it earlier would pull the rows away.
    mapped = mmap.mmap(source.stream.fileno(), 0, access=mmap.ACCESS_READ)
    data, view = pa.py_buffer(mapped), memoryview(mapped)
    try:
        if head.startswith(_FILE):
            file = pa.ipc.open_file(data)
            schema, sizes = file.schema, file_sizes(view)
            batches = (file.get_batch(i) for i in range(file.num_record_batches))
        else:
            stream = pa.ipc.open_stream(data)
            schema, sizes, batches = stream.schema, stream_sizes(view), iter(stream)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise damaged(error) from error
    yield from rows_of_batches(source, schema, _bounded(source, sizes, batches))


def _bounded(
    source: Source, sizes: Iterator[int], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Yield the batches, none of which is decompressed before its header has said that it may be."""
    unfolded, rows = 0, 0
    for size in sizes:
        unfolded += size
        refuse_bomb(unfolded, source.size, source.limits, line=rows + 1)
        batch = next(batches, None)
        if batch is None:
            return
        rows += batch.num_rows
        yield batch
    if next(batches, None) is not None:
        raise ValueError("more batches than headers")
