"""Arrow files and streams written anew: batches, compression and metadata as they were."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import pyarrow as pa

_MAGIC = b"ARROW1"
_PADDED_MAGIC = 8  # behind it, a file holds the very messages of a stream


class ArrowFile:
    """An Arrow file or stream as `tables` reads and writes it.

    Raises:
        pa.ArrowException, OSError, ValueError: damaged.
    """

    def __init__(self, file: BinaryIO) -> None:
        import pyarrow as pa

        data = pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        self._is_file = data[: len(_MAGIC)].to_pybytes() == _MAGIC
        self._data = data
        self._reader = pa.ipc.open_file(data) if self._is_file else pa.ipc.open_stream(data)
        self.schema: pa.Schema = self._reader.schema

    def pieces(self) -> Iterator[tuple[pa.RecordBatch, Any]]:
        if self._is_file:
            for number in range(self._reader.num_record_batches):
                yield self._reader.get_batch_with_custom_metadata(number)
            return
        while True:
            try:
                batch = self._reader.read_next_batch_with_custom_metadata()
            except StopIteration:
                return
            yield batch

    def writer(self, file: BinaryIO) -> _Writer:
        import pyarrow as pa

        messages = pa.ipc.MessageReader.open_stream(self._data[_PADDED_MAGIC if self._is_file else 0 :])
        options = pa.ipc.IpcWriteOptions(
            compression=next(
                (_codec(m.metadata.to_pybytes()) for m in messages if m.type == "record batch"), None
            ),
            # A file, unlike a stream, cannot replace a dictionary, only add to it.
            emit_dictionary_deltas=self._is_file,
        )
        if not self._is_file:
            return _Writer(pa.ipc.new_stream(file, self.schema, options=options))
        # Metadata of the file itself is younger than the oldest pyarrow that we run with.
        footer = getattr(self._reader, "metadata", None)
        more = {"metadata": footer} if footer else {}
        return _Writer(pa.ipc.new_file(file, self.schema, options=options, **more))


class _Writer:
    def __init__(self, writer: pa.RecordBatchWriter) -> None:
        self._writer = writer

    def write(self, piece: pa.RecordBatch, custom: Any = None) -> None:
        self._writer.write_batch(piece, custom_metadata=custom)

    def close(self) -> None:
        self._writer.close()


def _codec(message: bytes) -> str | None:
    """The compression of a record batch, which pyarrow reads but does not tell.

    It is a field of the message's header, a flatbuffer: Message.header.compression.codec in Message.fbs of
    the Arrow format. pyarrow has verified the buffer before.
    """
    root = struct.unpack_from("<I", message)[0]
    header = _table(message, root, 2)
    compression = header and _table(message, header, 3)
    if not compression:
        return None
    codec = _field(message, compression, 0)  # the default, 0, is left out
    return "zstd" if codec and message[codec] == 1 else "lz4"


def _field(data: bytes, table: int, number: int) -> int:
    """Where a table's field lies, 0 when it has its default."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    entry = 4 + 2 * number
    offset = struct.unpack_from("<H", data, vtable + entry)[0] if entry < size else 0
    return table + offset if offset else 0


def _table(data: bytes, table: int, number: int) -> int:
    """Where the table that a field refers to lies, 0 when there is none."""
    field = _field(data, table, number)
    return field + struct.unpack_from("<I", data, field)[0] if field else 0
