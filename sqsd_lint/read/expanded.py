"""How many bytes the values of Arrow arrays take when every one is written out, without writing them out.

A value of a dictionary, of a run or of a list view may stand in any number of rows, and a null takes no
data at all: a table of a kilobyte may be one of gigabytes, row for row. What is counted is what each row
refers to.

Offsets and indices are followed here, so arrays must be sound: `Array.validate(full=True)` has passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

ROW = 64
"""Bytes that a row is taken to need, however little is in it."""

VALUE = 8
"""Bytes that a value is taken to need beside its text, null or not."""


class Over(Exception):
    """The values take more than the budget."""


def rows_size(batch: pa.RecordBatch, budget: int) -> int:
    """Return the bytes of all rows of a batch.

    Raises:
        Over: they are more than `budget`; it is raised before much more than that has been looked at.
    """
    meter = _Meter(budget)
    meter.add(ROW * batch.num_rows)
    for column in batch.columns:
        meter.array(column)
    return meter.size


class _Meter:
    """Add up what arrays take."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self.size = 0

    def add(self, size: int) -> None:
        self.size += size
        if self.size > self._budget:
            raise Over

    def array(self, array: pa.Array) -> None:
        """Add all values of an array."""
        import pyarrow as pa
        from pyarrow import types

        kind, count = array.type, len(array)
        if not count:
            return
        if isinstance(kind, pa.BaseExtensionType):
            self.array(array.storage)
            return
        # First, so that whatever follows looks at no more values than the budget has room for.
        self.add(VALUE * count)
        if types.is_dictionary(kind):
            self._repeated(array.dictionary, *_counted(array.indices))
        elif _is("run_end_encoded", kind):
            self._repeated(array.values, *_runs(array))
        elif _is("list_view", kind) or _is("large_list_view", kind):
            self._views(array)
        elif types.is_fixed_size_list(kind):
            self.array(array.values.slice(array.offset * kind.list_size, count * kind.list_size))
        elif types.is_list(kind) or types.is_large_list(kind) or types.is_map(kind):
            first, last = array.offsets[0].as_py(), array.offsets[count].as_py()
            self.array(array.values.slice(first, last - first))
        elif types.is_struct(kind):
            for number in range(kind.num_fields):
                self.array(array.field(number))
        elif types.is_union(kind):
            self._union(array)
        elif (lengths := _text_lengths(array)) is not None:
            self.add(int(lengths.sum()))
        else:
            self.add(count * max(0, _width(kind) - VALUE))

    def _repeated(self, values: pa.Array, at: np.ndarray[Any, Any], counts: np.ndarray[Any, Any]) -> None:
        """Add the values at these places, each as often as it is referred to."""
        if not len(at):
            return
        lengths = _text_lengths(values)
        if lengths is not None:
            self.add(int((lengths[at] * counts).sum()))
            return
        for place, count in zip(at.tolist(), counts.tolist(), strict=True):
            once = _Meter(self._budget)
            once.array(values.slice(place, 1))
            self.add(once.size * count)

    def _views(self, array: pa.Array) -> None:
        import numpy as np

        valid = _valid(array)
        starts = array.offsets.to_numpy(zero_copy_only=False).astype(np.int64)[: len(array)][valid]
        sizes = array.sizes.to_numpy(zero_copy_only=False).astype(np.int64)[valid]
        total = int(sizes.sum())
        if self.size + VALUE * total > self._budget:
            raise Over
        places = np.repeat(starts - np.cumsum(sizes) + sizes, sizes) + np.arange(total)
        self.add(VALUE * total)
        self._repeated(array.values, *np.unique(places, return_counts=True))

    def _union(self, array: pa.Array) -> None:
        import numpy as np

        if array.type.mode == "sparse":
            for number in range(array.type.num_fields):
                self.array(array.field(number))
            return
        codes = array.type_codes.to_numpy()
        offsets = array.offsets.to_numpy()
        for number, code in enumerate(array.type.type_codes):
            self._repeated(array.field(number), *np.unique(offsets[codes == code], return_counts=True))


def _counted(indices: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return which indices occur, and how often each; nulls are none."""
    import numpy as np

    places, counts = np.unique(indices.drop_null().to_numpy(zero_copy_only=False), return_counts=True)
    return places.astype(np.int64), counts


def _runs(array: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the places of a run-end encoded array's values, and how many rows each stands in."""
    import numpy as np

    first, count = array.find_physical_offset(), array.find_physical_length()
    ends = array.run_ends.slice(first, count).to_numpy().astype(np.int64) - array.offset
    return np.arange(first, first + count), np.diff(np.minimum(ends, len(array)), prepend=0)


def _text_lengths(array: pa.Array) -> np.ndarray[Any, Any] | None:
    """Return the bytes of each text, None where an array holds something else; what nulls refer to counts."""
    import numpy as np
    from pyarrow import types

    kind, count = array.type, len(array)
    if _is("string_view", kind) or _is("binary_view", kind):
        data = np.frombuffer(array.buffers()[1], np.int32, 4 * count, 16 * array.offset)
        return np.where(_valid(array), np.maximum(data[::4], 0), 0).astype(np.int64)
    if types.is_string(kind) or types.is_binary(kind):
        size = 4
    elif types.is_large_string(kind) or types.is_large_binary(kind):
        size = 8
    else:
        return None
    if not count:
        return np.zeros(0, np.int64)
    offsets = np.frombuffer(array.buffers()[1], f"<i{size}", count + 1, size * array.offset)
    return np.diff(offsets).astype(np.int64)


def _valid(array: pa.Array) -> np.ndarray[Any, Any]:
    valid: np.ndarray[Any, Any] = array.is_valid().to_numpy(zero_copy_only=False)
    return valid


def _width(kind: pa.DataType) -> int:
    """Bytes of a value of fixed width, 0 of others."""
    try:
        return (int(kind.bit_width) + 7) // 8
    except ValueError:
        return 0


def _is(name: str, kind: pa.DataType) -> bool:
    """Return whether a type is of a kind that the oldest pyarrow we run with may not know."""
    from pyarrow import types

    check = getattr(types, f"is_{name}", None)
    return check is not None and bool(check(kind))
