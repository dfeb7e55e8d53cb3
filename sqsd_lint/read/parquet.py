"""Parquet, a few hundred rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

from sqsd_lint.read.batches import SLICE, damaged, rows_of_batches
from sqsd_lint.read.limits import in_words
from sqsd_lint.read.problems import Unreadable, missing_package
from sqsd_lint.read.source import Source
from sqsd_lint.types import Problem, Row


def read_parquet(source: Source) -> Iterator[Row | Problem]:
    """Rows of a Parquet file; a row's line is its 1-based number.

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
        sizes = [file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups)]
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise damaged(error) from error
    # Before any page is decompressed; the file may lie, so what comes out is counted again.
    if sum(sizes) > source.limits.max_decompressed_bytes:
        allowed = in_words(source.limits.max_decompressed_bytes)
        raise Unreadable(
            f"unfolds to {in_words(sum(sizes))}, more than max_decompressed_bytes ({allowed})",
            hint="split the file into smaller ones",
        )
    yield from rows_of_batches(source, file.schema_arrow, file.iter_batches(batch_size=SLICE))
