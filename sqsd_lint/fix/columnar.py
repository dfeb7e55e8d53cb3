"""What Parquet and Arrow files have in common: pieces of a table that are copied, filtered and appended.

Parquet files written anew: row groups, compression, encodings and metadata as they were.
What pyarrow does not tell of a file cannot be kept: the level of the compression, the version of the data
pages, Bloom filters, and the name of the program that wrote it.

Arrow files and streams written anew: batches, compression and metadata as they were.
"""

from __future__ import annotations

import io
import mmap
import struct
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from sqsd_lint.discover.default_excludes import base_suffix
from sqsd_lint.errors import SqsdLintError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


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

    def writer(self, file: BinaryIO) -> _ArrowWriter:
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
            return _ArrowWriter(pa.ipc.new_stream(file, self.schema, options=options))
        # Metadata of the file itself is younger than the oldest pyarrow that we run with.
        footer = getattr(self._reader, "metadata", None)
        more = {"metadata": footer} if footer else {}
        return _ArrowWriter(pa.ipc.new_file(file, self.schema, options=options, **more))


class _ArrowWriter:
    def __init__(self, writer: pa.RecordBatchWriter) -> None:
        self._writer = writer

    def write(self, piece: pa.RecordBatch, custom: Any = None) -> None:
        self._writer.write_batch(piece, custom_metadata=custom)

    def close(self) -> None:
        self._writer.close()


def _codec(message: bytes) -> str | None:
    """Return the compression of a record batch, which pyarrow reads but does not tell.

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
    """Return where a table's field lies, 0 when it has its default."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    entry = 4 + 2 * number
    offset = struct.unpack_from("<H", data, vtable + entry)[0] if entry < size else 0
    return table + offset if offset else 0


def _table(data: bytes, table: int, number: int) -> int:
    """Return where the table that a field refers to lies, 0 when there is none."""
    field = _field(data, table, number)
    return field + struct.unpack_from("<I", data, field)[0] if field else 0


class ParquetFile:
    """A Parquet file as `tables` reads and writes it.

    Raises:
        pa.ArrowException, OSError, ValueError: damaged.
    """

    def __init__(self, file: BinaryIO) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(file)
        self.schema: pa.Schema = self._file.schema_arrow

    def pieces(self) -> Iterator[tuple[pa.Table, None]]:
        for number in range(self._file.num_row_groups):
            yield self._file.read_row_group(number), None

    def writer(self, file: BinaryIO) -> _ParquetWriter:
        import pyarrow.parquet as pq

        writer = pq.ParquetWriter(file, self.schema, **_options(self._file))
        # The file's own words, the stored Arrow schema among them, instead of what pyarrow would write anew.
        if self._file.metadata.metadata:
            writer.add_key_value_metadata(self._file.metadata.metadata)
        return _ParquetWriter(writer)


class _ParquetWriter:
    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer

    def write(self, piece: pa.Table, custom: object = None) -> None:
        # The writer's own limit would cut a large row group in two.
        self._writer.write_table(piece, row_group_size=max(1, piece.num_rows))

    def close(self) -> None:
        self._writer.close()


def _options(file: pq.ParquetFile) -> dict[str, Any]:
    """Return how the file was written, in the words of ParquetWriter."""
    metadata = file.metadata
    if metadata.num_row_groups:
        group = metadata.row_group(0)
        columns = [group.column(i) for i in range(group.num_columns)]
    else:
        group, columns = None, []
    options: dict[str, Any] = {
        "compression": {c.path_in_schema: _CODECS.get(c.compression, c.compression) for c in columns},
        "use_dictionary": [c.path_in_schema for c in columns if c.has_dictionary_page],
        "column_encoding": _encodings(columns) or None,
        "write_statistics": [c.path_in_schema for c in columns if c.is_stats_set],
        "write_page_index": any(c.has_column_index for c in columns),
        "sorting_columns": (group.sorting_columns or None) if group is not None else None,
        "use_deprecated_int96_timestamps": any(c.physical_type == "INT96" for c in columns),
        "store_schema": False,  # with the other metadata, as it is
    }
    return options | _dialect(file, options)


_CODECS = {"UNCOMPRESSED": "NONE"}

# Those that a writer must be asked for.
_ENCODINGS = ("DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY", "BYTE_STREAM_SPLIT")


def _encodings(columns: Sequence[Any]) -> dict[str, str]:
    return {
        c.path_in_schema: encoding
        for c in columns
        for encoding in _ENCODINGS
        if encoding in c.encodings and not c.has_dictionary_page
    }


def _dialect(file: pq.ParquetFile, options: dict[str, Any]) -> dict[str, Any]:
    """Return the version and the naming of lists under which the columns come out as they are in the file.

    The version in the footer does not settle it: some writers state the oldest and use types of the newest.
    """
    import pyarrow.parquet as pq

    tried = []
    for version, compliant in product((file.metadata.format_version, "2.6"), (True, False)):
        dialect = {"version": version, "use_compliant_nested_type": compliant}
        empty = io.BytesIO()
        try:
            pq.ParquetWriter(empty, file.schema_arrow, **(options | dialect)).close()
        except ValueError:  # a version that pyarrow does not write
            continue
        if _columns(pq.ParquetFile(empty)) == _columns(file):
            return dialect
        tried.append(dialect)
    return tried[-2]  # the newest version, whose types lose nothing


def _columns(file: pq.ParquetFile) -> list[tuple[Any, ...]]:
    """Return the file's own schema as text, names of nested fields included, which `equals` leaves out."""
    found = [file.schema.column(i) for i in range(len(file.schema))]
    return [
        (c.path, c.physical_type, str(c.logical_type), c.converted_type, c.max_definition_level, c.length)
        for c in found
    ]


Custom = Any
"""What an Arrow file says about one of its batches: pa.KeyValueMetadata or None."""


class Writer(Protocol):
    """Writes pieces of one schema to a file."""

    def write(self, piece: pa.Table | pa.RecordBatch, custom: Custom = None) -> None: ...

    def close(self) -> None: ...


class TableFile(Protocol):
    """A columnar file that is open for reading.

    Attributes:
        schema: with its metadata.
    """

    schema: pa.Schema

    def pieces(self) -> Iterator[tuple[pa.Table | pa.RecordBatch, Custom]]:
        """Row groups or record batches, in order."""
        ...

    def writer(self, file: BinaryIO) -> Writer:
        """Return a writer of files that are laid out as this one is."""
        ...


@contextmanager
def open_table(file: str) -> Iterator[TableFile]:
    """Open a Parquet or Arrow file.

    Raises:
        pa.ArrowException, OSError, ValueError: damaged.
    """
    with open(file, "rb") as stream:
        yield ParquetFile(stream) if base_suffix(file) in (".parquet", ".pq") else ArrowFile(stream)


def move_rows(
    source: TableFile,
    existing: TableFile | None,
    moved: Sequence[int],
    fresh: Collection[int],
    *,
    keep: BinaryIO,
    quarantine: BinaryIO | None,
) -> None:
    """Write all rows but the moved ones to `keep`, and the existing rows and the fresh ones to `quarantine`.

    Args:
        moved: row numbers of `source`, ascending.
        fresh: those of them that `existing` does not hold.
        quarantine: None when nothing is fresh.

    Raises:
        SqsdLintError: `existing` has other columns.
        pa.ArrowException, OSError, ValueError: damaged, or something that pyarrow cannot write.
    """
    if existing is not None and not existing.schema.equals(source.schema):
        raise SqsdLintError(
            "the quarantine file has other columns than the file, or columns of other types",
            hint="move the old quarantine file away",
        )
    kept = source.writer(keep)
    taken = (existing or source).writer(quarantine) if quarantine is not None else None
    if taken and existing is not None:
        for piece, custom in existing.pieces():
            taken.write(_checked(piece), custom)
    first = 0
    for piece, custom in source.pieces():
        rows, last = _checked(piece).num_rows, first + piece.num_rows
        here = [n - first for n in moved[bisect_left(moved, first) : bisect_left(moved, last)]]
        added = [n for n in here if n + first in fresh]
        if taken and added:
            taken.write(piece.take(added))
        if len(here) < rows or not rows:
            kept.write(_without(piece, here) if here else piece, custom)
        first = last
    kept.close()
    if taken:
        taken.close()


def _checked(piece: Any) -> Any:
    # Offsets come from the file: unchecked, they would be followed out of the buffer.
    piece.validate(full=True)
    return piece


def _without(piece: Any, rows: Collection[int]) -> Any:
    import pyarrow as pa

    gone = set(rows)
    return piece.filter(pa.array([n not in gone for n in range(piece.num_rows)], pa.bool_()))
