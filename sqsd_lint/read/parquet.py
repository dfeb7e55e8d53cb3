"""Parquet, a few hundred rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sqsd_lint.read.columnar import SLICE, damaged, rows_of_batches
from sqsd_lint.read.expanded import ROW, VALUE
from sqsd_lint.read.limits import MIB
from sqsd_lint.read.parquet_pages import read_chunk, read_footer
from sqsd_lint.read.problems import Unreadable, missing_package, refuse_bomb
from sqsd_lint.read.source import Source
from sqsd_lint.types import Problem, Row

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_MEMORY = 64 * MIB
"""Bytes that the values of a batch may take when each is as long as it can be."""

_DICTIONARY_SLICE = 4 * SLICE
"""Rows of a batch where dictionaries are kept: each batch brings all of them along."""


def read_parquet(source: Source, groups: Sequence[int] | None = None) -> Iterator[Row | Problem]:
    """Yield the rows of a Parquet file; a row's line is its 1-based number.

    A file is refused by what the headers of its pages say, before any page is unfolded. Columns whose
    dictionary could fill the memory are read as dictionaries, so that what their rows refer to can be counted
    before it is written out.

    Args:
        groups: row groups to read alone; a row's line is then its number among their rows.

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
        rows, kept = _plan(source, file)
        schema = file.schema_arrow
        if kept:
            source.stream.seek(0)
            file = pq.ParquetFile(source.stream, read_dictionary=kept)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise damaged(error) from error
    if groups is None:
        groups = range(file.num_row_groups)
    yield from rows_of_batches(source, schema, _batches(file, rows, groups))


def _batches(file: pq.ParquetFile, rows: int, groups: Sequence[int]) -> Iterator[pa.RecordBatch]:
    # Each row group has dictionaries of its own, and a nested column cannot bring two of them in one batch.
    for number in groups:
        yield from file.iter_batches(batch_size=rows, row_groups=[number])


def _plan(source: Source, file: pq.ParquetFile) -> tuple[int, list[str]]:
    """How many rows a batch may have, and the columns that are to be read as dictionaries.

    Raises:
        Unreadable: over a limit.
        ValueError, OSError: damaged.
    """
    footer = file.metadata
    unfolded = footer.num_rows * ROW
    refuse_bomb(unfolded, source.size, source.limits)
    kept: set[str] = set()
    longest: dict[int, int] = {}  # by column, what a value may take
    groups = read_footer(source.stream)
    if len(groups) != footer.num_row_groups or any(len(group) != len(file.schema) for group in groups):
        raise ValueError("its row groups have other columns than its schema")
    for group in groups:
        for j, column in enumerate(group):
            leaf = file.schema.column(j)
            chunk = read_chunk(source.stream, column, source.size)
            unfolded += max(chunk.size, chunk.values * VALUE)
            refuse_bomb(unfolded, source.size, source.limits)
            if leaf.max_repetition_level and chunk.prefixes:
                # All values may be in one row, and each as long as the page.
                refuse_bomb(chunk.values * chunk.prefixes, source.size, source.limits)
            value = max(chunk.prefixes, leaf.length if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY" else 0)
            if chunk.dictionary and leaf.physical_type == "BYTE_ARRAY":
                values = chunk.values if leaf.max_repetition_level else min(chunk.values, SLICE)
                if values * chunk.dictionary > _MEMORY:
                    kept.add(leaf.path)
            longest[j] = max(longest.get(j, 0), value)
    rows = max(1, _MEMORY // max(1, sum(longest.values())))
    return min(rows, _DICTIONARY_SLICE if kept else SLICE), sorted(kept)
