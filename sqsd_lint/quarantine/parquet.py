"""Parquet files written anew: row groups, compression, encodings and metadata as they were.

What pyarrow does not tell of a file cannot be kept: the level of the compression, the version of the data
pages, Bloom filters, and the name of the program that wrote it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


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

    def writer(self, file: BinaryIO) -> _Writer:
        import pyarrow.parquet as pq

        writer = pq.ParquetWriter(file, self.schema, **_options(self._file))
        # The file's own words, the stored Arrow schema among them, instead of what pyarrow would write anew.
        if self._file.metadata.metadata:
            writer.add_key_value_metadata(self._file.metadata.metadata)
        return _Writer(writer)


class _Writer:
    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer

    def write(self, piece: pa.Table, custom: object = None) -> None:
        # The writer's own limit would cut a large row group in two.
        self._writer.write_table(piece, row_group_size=max(1, piece.num_rows))

    def close(self) -> None:
        self._writer.close()


def _options(file: pq.ParquetFile) -> dict[str, Any]:
    """How the file was written, in the words of ParquetWriter."""
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
    """The version and the naming of lists under which the columns come out as they are in the file.

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
    """What the file's own schema says, names of nested fields included, which its `equals` leaves out."""
    found = [file.schema.column(i) for i in range(len(file.schema))]
    return [
        (c.path, c.physical_type, str(c.logical_type), c.converted_type, c.max_definition_level, c.length)
        for c in found
    ]
