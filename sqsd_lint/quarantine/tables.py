"""What Parquet and Arrow files have in common: pieces of a table that are copied, filtered and appended."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from sqsd_lint.discover import suffix_of
from sqsd_lint.errors import SqsdLintError
from sqsd_lint.quarantine.arrow import ArrowFile
from sqsd_lint.quarantine.parquet import ParquetFile

if TYPE_CHECKING:
    import pyarrow as pa

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
        """A writer of files that are laid out as this one is."""
        ...


@contextmanager
def open_table(file: str) -> Iterator[TableFile]:
    """Open a Parquet or Arrow file.

    Raises:
        pa.ArrowException, OSError, ValueError: damaged.
    """
    with open(file, "rb") as stream:
        yield ParquetFile(stream) if suffix_of(file) == ".parquet" else ArrowFile(stream)


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
