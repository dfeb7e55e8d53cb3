"""What Parquet and Arrow have in common: record batches to rows, a slice at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqsd_lint.read.limits import in_words
from sqsd_lint.read.problems import Unreadable, malformed_row
from sqsd_lint.read.source import Source
from sqsd_lint.types import Problem, Row, Where

if TYPE_CHECKING:
    import pyarrow as pa

SLICE = 256
"""Rows that are turned into Python objects at once."""


def rows_of_batches(
    source: Source, schema: pa.Schema, batches: Iterator[pa.RecordBatch]
) -> Iterator[Row | Problem]:
    """Yield a Row, or an SQSD303, for every row of `batches`; a row's line is its 1-based number.

    Raises:
        Unreadable: the schema is ambiguous or too deep, or the data is damaged or over a limit.
    """
    import pyarrow as pa

    _check_schema(schema, source.limits.max_depth)
    index, size = 0, 0
    try:
        for batch in batches:
            size += batch.nbytes
            if size > source.limits.max_decompressed_bytes:
                allowed = in_words(source.limits.max_decompressed_bytes)
                raise Unreadable(
                    f"unfolds to more than max_decompressed_bytes ({allowed})",
                    hint="split the file into smaller ones",
                    line=index + 1,
                )
            for start in range(0, batch.num_rows, SLICE):
                part = batch.slice(start, SLICE)
                yield from _rows(source, part, index)
                index += part.num_rows
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise damaged(error, line=index + 1) from error


def damaged(error: Exception, *, line: int = 0) -> Unreadable:
    """The error of a file that pyarrow refuses."""
    return Unreadable(
        f"damaged{f' after {line - 1} rows' if line > 1 else ''}: {str(error)[:200]}",
        hint="write the file again",
        line=line,
    )


def _rows(source: Source, part: pa.RecordBatch, index: int) -> Iterator[Row | Problem]:
    limit = source.limits.max_line_bytes
    values = _values(part) if part.nbytes <= limit else None
    for i in range(part.num_rows):
        where = Where(source.file, index + i + 1, index + i)
        if values is not None:
            yield Row(where, values[i])
            continue
        # Something in this slice is damaged or large: find out which row.
        row = part.slice(i, 1)
        if row.nbytes > limit:
            yield malformed_row(where, f"longer than max_line_bytes ({in_words(limit)})")
        elif (value := _values(row)) is None:
            yield malformed_row(
                where,
                "a value is damaged: not UTF-8, or out of Python's range",
                hint="write the file again from sound data",
            )
        else:
            yield Row(where, value[0])


def _values(part: pa.RecordBatch) -> list[dict[str, Any]] | None:
    """The rows as Python objects, None when a value is damaged."""
    import pyarrow as pa

    try:
        # Offsets come from the file; unchecked ones would be followed out of the buffer.
        part.validate(full=True)
        rows: list[dict[str, Any]] = part.to_pylist()
    except (pa.ArrowException, ValueError, OverflowError, TypeError, KeyError):
        return None
    return rows


def _check_schema(schema: pa.Schema, max_depth: int) -> None:
    twice = {name for name in schema.names if schema.names.count(name) > 1}
    if twice:
        raise Unreadable(f"the column {min(twice)[:40]!r} appears twice", hint="rename one of them")
    level = list(schema.types)
    for _ in range(max_depth):
        level = [kind.field(i).type for kind in level for i in range(kind.num_fields)]
        if not level:
            return
    raise Unreadable(f"columns nested deeper than max_depth ({max_depth} levels)")
