"""Parquet, a few hundred rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqsd_lint.read.columnar import SLICE, damaged, rows_of_batches
from sqsd_lint.read.problems import Unreadable, missing_package, refuse_bomb
from sqsd_lint.read.source import Source
from sqsd_lint.types import Problem, Row

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_VALUE_SIZE = 8
"""Bytes that a value of a leaf column is taken to need, however few its run-length encoding needs."""


def read_parquet(source: Source) -> Iterator[Row | Problem]:
    """Rows of a Parquet file; a row's line is its 1-based number.

    A file is refused by what its footer says, before any page is unfolded. The footer may lie: what comes out
    is counted again, but only after each batch of rows, and the values of one row are in one batch however
    many they are.

    Raises:
        Unreadable: not Parquet, damaged, over a limit, or not seekable.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise missing_package("pyarrow", "a Parquet file") from error
    if not source.seekable:
        raise Unreadable("Parquet cannot be read from standard input", hint="save it to a file first")
    try:
        file = pq.ParquetFile(source.stream)
        unfolded, dictionary = _claims(file.metadata)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise damaged(error) from error
    refuse_bomb(unfolded, source.size, source.limits)
    # Each row of a batch gets a copy of its value, and every row may have the largest of the dictionary.
    rows = source.limits.unfolded_at_most(source.size) // max(1, dictionary)
    yield from rows_of_batches(
        source, file.schema_arrow, file.iter_batches(batch_size=min(SLICE, max(1, rows)))
    )


def _claims(footer: pq.FileMetaData) -> tuple[int, int]:
    """Bytes that the file unfolds to, and at most those of its largest dictionary, as the footer says."""
    unfolded, dictionary = 0, 0
    for i in range(footer.num_row_groups):
        group = footer.row_group(i)
        columns = [group.column(j) for j in range(group.num_columns)]
        values = sum(max(0, column.num_values) for column in columns)
        unfolded += max(group.total_byte_size, values * _VALUE_SIZE)
        sizes = [column.total_uncompressed_size for column in columns if column.has_dictionary_page]
        dictionary = max(dictionary, *sizes, 0)
    return unfolded, dictionary
