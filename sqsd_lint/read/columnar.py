"""What Parquet and Arrow have in common: record batches to rows, a slice at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from sqsd_lint.read.expanded import ROW, Over, rows_size
from sqsd_lint.read.limits import Limits, in_words
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

    Of each batch is counted what its rows take when they are written out, before the first one is.

    Raises:
        Unreadable: the schema is ambiguous or too deep, or the data is damaged or over a limit.
    """
    import pyarrow as pa

    index, size = 0, 0

    def refuse(size: int) -> None:
        refuse_bomb(size, source.size, source.limits, line=index + 1)

    try:
        _check_schema(schema, source.limits.max_depth)
        for batch in batches:
            # Rows without data cost nothing in the file, and a row each here.
            refuse(size + ROW * batch.num_rows)
            damage = _damaged_rows(batch)
            parts: list[_Part] = []
            for start in range(0, batch.num_rows, SLICE):
                parts.append(_measured(batch.slice(start, SLICE), start, damage, source.limits))
                size += parts[-1].size
                refuse(size)
            for part in parts:
                yield from _rows(source, batch.slice(part.start, SLICE), index, part.faults)
                index += min(SLICE, batch.num_rows - part.start)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise damaged(error, line=index + 1) from error


def damaged(error: Exception, *, line: int = 0) -> Unreadable:
    """Return the error of a file that pyarrow refuses."""
    return Unreadable(
        f"damaged{f' after {line - 1} rows' if line > 1 else ''}: {str(error)[:200]}",
        hint="write the file again",
        line=line,
    )


def _damaged_rows(batch: pa.RecordBatch) -> set[int] | range:
    """Return which rows refer to anything outside of the file's data, or to text that is not UTF-8."""
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


class _Part(NamedTuple):
    """Rows of a batch that are turned into Python objects together.

    Attributes:
        start: their first number in the batch.
        size: bytes that they take when they are written out.
        faults: None where all are sound and fit into memory at once; otherwise what is wrong with some, by
            their number in the part.
    """

    start: int
    size: int
    faults: dict[int, str] | None


def _measured(part: pa.RecordBatch, start: int, damage: set[int] | range, limits: Limits) -> _Part:
    """Look at the rows of a batch from `start` on, without writing them out."""
    limit = limits.max_line_bytes
    faults = {i: _DAMAGED for i in range(part.num_rows) if start + i in damage} if damage else {}
    if not faults:
        try:
            return _Part(start, rows_size(part, limit), None)
        except Over:
            pass  # one of them is too long, or all together are
    size = ROW * len(faults)
    for i in range(part.num_rows):
        if i in faults:
            continue
        try:
            size += rows_size(part.slice(i, 1), limit)
        except Over:
            size += limit
            faults[i] = f"longer than max_line_bytes ({in_words(limit)})"
    return _Part(start, size, faults)


def _rows(
    source: Source, part: pa.RecordBatch, index: int, faults: dict[int, str] | None
) -> Iterator[Row | Problem]:
    """Yield the rows of a part that is the file's from `index` on."""
    together = _python(part) if faults is None else None
    for i in range(part.num_rows):
        where = Where(source.file, index + i + 1, index + i)
        fault = (faults or {}).get(i, "")
        found = together[i : i + 1] if together else None if fault else _python(part.slice(i, 1))
        if found:
            yield Row(where, found[0])
        else:
            yield malformed_row(where, fault or _DAMAGED, hint="write the file again without it")


def _python(part: pa.RecordBatch) -> list[dict[str, Any]] | None:
    """Return the rows as Python objects, None where one of them is damaged beyond that."""
    import pyarrow as pa

    try:
        rows: list[dict[str, Any]] = part.to_pylist()
        return rows
    except _UNFIT:
        pass
    try:
        columns = [_column(column) for column in part.columns]
    except (*_UNFIT, pa.ArrowException):
        return None
    return [dict(zip(part.schema.names, cells, strict=True)) for cells in zip(*columns, strict=True)]


_UNFIT = (ValueError, OverflowError, TypeError, KeyError, AttributeError)
"""What pyarrow raises for a value that Python's types cannot hold."""


def _column(column: pa.Array) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
        return values
    except _UNFIT:
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    """Return a value as Python has it; a time beyond Python's as the number that the file holds.

    An unrelated column must not cost a row, nor a time inside of a message the conversation.

    Raises:
        one of _UNFIT: damaged.
    """
    import pyarrow as pa

    try:
        return scalar.as_py()
    except _UNFIT:
        pass
    if isinstance(scalar, pa.StructScalar):
        names = [field.name for field in scalar.type]
        if len(set(names)) < len(names):
            raise ValueError("a field appears twice")
        return {name: _value(scalar[number]) for number, name in enumerate(names)}
    if isinstance(scalar, pa.MapScalar):
        return [(_value(pair[0]), _value(pair[1])) for pair in scalar.values]
    if isinstance(scalar, pa.ListScalar) or hasattr(scalar, "values"):
        return [_value(element) for element in scalar.values]
    inner = scalar.value
    return _value(inner) if isinstance(inner, pa.Scalar) else inner


def _check_schema(schema: pa.Schema, max_depth: int) -> None:
    twice = {name for name, count in Counter(schema.names).items() if count > 1}
    if twice:
        raise Unreadable(f"the column {min(twice)[:40]!r} appears twice", hint="rename one of them")
    level = list(schema.types)
    for _ in range(max_depth):
        level = [inner for kind in level for inner in _inner(kind)]
        if not level:
            return
    raise Unreadable(f"columns nested deeper than max_depth ({max_depth} levels)")


def _inner(kind: pa.DataType) -> list[pa.DataType]:
    """Return the types that a type is made of."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return _inner(kind.storage_type)
    if isinstance(kind, pa.DictionaryType):
        return [kind.value_type] if kind.value_type.num_fields else []
    return [kind.field(i).type for i in range(kind.num_fields)]
