"""What Parquet and Arrow have in common: record batches to rows, a slice at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqsd_lint.read.limits import in_words
from sqsd_lint.read.problems import Unreadable, malformed_row, refuse_bomb
from sqsd_lint.read.source import Source
from sqsd_lint.types import Problem, Row, Where

if TYPE_CHECKING:
    import pyarrow as pa

_DAMAGED = "a value is damaged: not UTF-8, not in the file's data, or out of Python's range"

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

    index, size = 0, 0
    try:
        _check_schema(schema, source.limits.max_depth)
        for batch in batches:
            # Values without data, such as nulls, cost nothing in the file and a row each here.
            refuse_bomb(size + batch.num_rows, source.size, source.limits, line=index + 1)
            damage = _damaged_rows(batch)
            # Offsets come from the file: before they are checked, even asking for a size may follow them
            # out of the buffer.
            size += batch.num_rows if damage else max(batch.num_rows, batch.nbytes)
            refuse_bomb(size, source.size, source.limits, line=index + 1)
            for start in range(0, batch.num_rows, SLICE):
                yield from _rows(source, batch.slice(start, SLICE), index, start, damage)
                index += min(SLICE, batch.num_rows - start)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise damaged(error, line=index + 1) from error


def damaged(error: Exception, *, line: int = 0) -> Unreadable:
    """The error of a file that pyarrow refuses."""
    return Unreadable(
        f"damaged{f' after {line - 1} rows' if line > 1 else ''}: {str(error)[:200]}",
        hint="write the file again",
        line=line,
    )


def _damaged_rows(batch: pa.RecordBatch) -> set[int] | range:
    """Which rows refer to anything outside of the file's data, or to text that is not UTF-8."""
    damage: set[int] = set()
    for column in batch.columns:
        if _is_sound(column):
            continue
        if column.type.num_fields or hasattr(column, "dictionary"):
            # Of nested values only the whole can be checked in reasonable time.
            return range(batch.num_rows)
        damage.update(i for i in range(batch.num_rows) if not _is_sound(column.slice(i, 1)))
    return damage


def _is_sound(column: pa.Array) -> bool:
    import pyarrow as pa

    try:
        column.validate(full=True)
    except pa.ArrowException:
        return False
    return True


def _rows(
    source: Source, part: pa.RecordBatch, index: int, start: int, damage: set[int] | range
) -> Iterator[Row | Problem]:
    """Rows of a slice that is the file's from `index` on, and its batch's from `start` on."""
    limit = source.limits.max_line_bytes
    values = None if any(start + i in damage for i in range(part.num_rows)) else _values(part, limit)
    for i in range(part.num_rows):
        where = Where(source.file, index + i + 1, index + i)
        if isinstance(values, list):
            yield Row(where, values[i])
            continue
        # Something in this slice is damaged or large: find out which row.
        value = _DAMAGED if start + i in damage else _values(part.slice(i, 1), limit)
        if isinstance(value, list):
            yield Row(where, value[0])
        else:
            yield malformed_row(where, value, hint="write the file again without it")


def _values(part: pa.RecordBatch, limit: int) -> list[dict[str, Any]] | str:
    """The rows of a sound slice as Python objects, or what is wrong with one of them."""
    if part.nbytes > limit:
        return f"longer than max_line_bytes ({in_words(limit)})"
    try:
        rows: list[dict[str, Any]] = part.to_pylist()
    except (ValueError, OverflowError, TypeError, KeyError):
        return _DAMAGED
    return rows


def _check_schema(schema: pa.Schema, max_depth: int) -> None:
    twice = {name for name, count in Counter(schema.names).items() if count > 1}
    if twice:
        raise Unreadable(f"the column {min(twice)[:40]!r} appears twice", hint="rename one of them")
    level = list(schema.types)
    for _ in range(max_depth):
        level = [kind.field(i).type for kind in level for i in range(kind.num_fields)]
        if not level:
            return
    raise Unreadable(f"columns nested deeper than max_depth ({max_depth} levels)")
