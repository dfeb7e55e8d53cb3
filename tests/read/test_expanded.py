"""Columnar files whose rows take far more than the file: refused before any is written out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.read import Limits, read_rows
from sqsd_lint.read.expanded import ROW, Over, rows_size
from sqsd_lint.types import Row
from tests.read.brief import brief
from tests.read.memory import read_apart

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

MIB = 2**20
PEAK = 200 * MIB
"""What a file of a few kilobytes may cost at the most: it may unfold to 64 MiB, and Python's objects are larger."""

LONG = "x" * MIB
ROWS = 4000


def dictionary(values: Any = None, rows: int = ROWS) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), values or pa.array([LONG]))


def runs() -> Any:
    return pa.RunEndEncodedArray.from_arrays(pa.array([ROWS], pa.int32()), pa.array([LONG]))


def list_views() -> Any:
    starts, sizes = pa.array([0] * ROWS, pa.int32()), pa.array([1000] * ROWS, pa.int32())
    return pa.ListViewArray.from_arrays(starts, sizes, pa.array(["y" * 1000] * 1000))


def text_views() -> Any:
    import numpy as np

    views = np.zeros((ROWS, 4), np.int32)
    views[:, 0] = MIB
    views[:, 1] = int.from_bytes(b"xxxx", "little")
    return pa.Array.from_buffers(
        pa.string_view(), ROWS, [None, pa.py_buffer(views.tobytes()), pa.py_buffer(LONG.encode())]
    )


def lists_of_words() -> Any:
    return pa.ListArray.from_arrays(pa.array([0, ROWS], pa.int32()), dictionary())


def structs() -> Any:
    return pa.StructArray.from_arrays([dictionary(), runs()], ["a", "b"])


def dense_union() -> Any:
    codes, offsets = pa.array([0] * ROWS, pa.int8()), pa.array([0] * ROWS, pa.int32())
    return pa.UnionArray.from_dense(codes, offsets, [pa.array([LONG])])


def dictionary_of_lists() -> Any:
    return dictionary(pa.array([["y" * 1000] * 1000]))


IPC: dict[str, Callable[[], Any]] = {
    "dictionary": dictionary,
    "runs": runs,
    "list views": list_views,
    "text views": text_views,
    "lists of a dictionary": lists_of_words,
    "structs of both": structs,
    "dense union": dense_union,
    "dictionary of lists": dictionary_of_lists,
    "nulls": lambda: pa.nulls(64 * 10**6),
    "a list of nulls": lambda: pa.ListArray.from_arrays(
        pa.array([0, 2**31 - 9], pa.int32()), pa.nulls(2**31 - 9)
    ),
    "fixed lists of nulls": lambda: pa.FixedSizeListArray.from_arrays(pa.nulls(10**9), 10**6),
    "structs of nothing": lambda: pa.ListArray.from_arrays(
        pa.array([0, 10**8], pa.int32()), pa.StructArray.from_buffers(pa.struct([]), 10**8, [None])
    ),
}


@pytest.mark.parametrize("codec", ["zstd", None], ids=["zstd", "plain"])
@pytest.mark.parametrize("kind", IPC)
def test_arrow(tmp_path: Path, kind: str, codec: str | None) -> None:
    path = tmp_path / "rows.arrow"
    batch = pa.record_batch({"a": IPC[kind]()})
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema, options=options) as out:
        out.write_batch(batch)
    # What is not compressed is a larger file, which may unfold to more.
    found = read_apart(path, max_decompressed_bytes=64 * MIB)
    assert found.rows == 0
    assert found.problems[0][0] == ("SQSD303" if batch.num_rows == 1 else "SQSD304"), found.problems
    assert found.peak < PEAK


def parquet_dictionary(path: Path) -> None:
    pq.write_table(
        pa.table({"a": [LONG] * 2000}), path, compression="zstd", dictionary_pagesize_limit=2 * MIB
    )


def parquet_dictionary_in_one_list(path: Path) -> None:
    pq.write_table(
        pa.table({"a": [[LONG] * 2000]}), path, compression="zstd", dictionary_pagesize_limit=2 * MIB
    )


def parquet_nulls(path: Path) -> None:
    pq.write_table(pa.table({"a": pa.nulls(64 * 10**6, pa.int8())}), path, row_group_size=64 * 10**6)


def parquet_prefixes(path: Path) -> None:
    pq.write_table(
        pa.table({"a": [LONG] * 2000}),
        path,
        compression="zstd",
        use_dictionary=False,
        column_encoding={"a": "DELTA_BYTE_ARRAY"},
    )


def parquet_fixed_size(path: Path) -> None:
    values = pa.array([b"x" * MIB] * 2000, pa.binary(MIB))
    pq.write_table(pa.table({"a": values}), path, compression="zstd", dictionary_pagesize_limit=2 * MIB)


PARQUET = [
    parquet_dictionary,
    parquet_dictionary_in_one_list,
    parquet_nulls,
    parquet_prefixes,
    parquet_fixed_size,
]


@pytest.mark.parametrize("write", PARQUET, ids=lambda write: write.__name__)
def test_parquet(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "rows.parquet"
    write(path)
    assert path.stat().st_size < MIB
    found = read_apart(path)
    codes = {code for code, _ in found.problems}
    assert codes <= {"SQSD303", "SQSD304"} and codes
    assert found.rows <= 64
    assert found.peak < 2 * PEAK


def test_nothing_of_a_batch_over_the_limit_is_yielded(tmp_path: Path) -> None:
    path = tmp_path / "rows.arrow"
    small, large = (
        pa.record_batch({"a": dictionary(pa.array(["s"]), 3)}),
        pa.record_batch({"a": dictionary()}),
    )
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, small.schema) as out:
        out.write_batch(small)
        out.write_batch(large)
    items = brief(read_rows(str(path), limits=Limits(max_decompressed_bytes=100 * MIB)))
    assert items == [(1, 0, {"a": "s"}), (2, 1, {"a": "s"}), (3, 2, {"a": "s"}), (4, -1, "SQSD304")]


def size(array: Any) -> int:
    return rows_size(pa.record_batch([array], names=["a"]), 10**12) - ROW * len(array)


WORDS = ["", "a", "bb", None, "c" * 40]
SAMPLES = {
    "text": pa.array(WORDS),
    "large text": pa.array(WORDS, pa.large_string()),
    "numbers": pa.array([1, None, 3, 4, 5]),
    "dictionary": pa.array(WORDS).dictionary_encode(),
    "runs": pa.RunEndEncodedArray.from_arrays(pa.array([1, 4, 5], pa.int32()), pa.array(WORDS[2:])),
    "lists": pa.array([WORDS, [], None, ["x"], WORDS]),
    "fixed lists": pa.array([WORDS[:2], WORDS[1:3], None, WORDS[3:], WORDS[:2]], pa.list_(pa.string(), 2)),
    "maps": pa.array([[("k", 1)], [], None, [("kk", 2), ("l", 3)], []], pa.map_(pa.string(), pa.int64())),
    "structs": pa.array([{"a": word, "b": [word]} for word in WORDS]),
    "list views": pa.ListViewArray.from_arrays(
        pa.array([0, 0, 3, 1, 0], pa.int32()), pa.array([5, 5, 1, 3, 0], pa.int32()), pa.array(WORDS)
    ),
    "views": pa.array(WORDS, pa.string_view()),
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_size_of_a_whole_is_that_of_its_rows(kind: str) -> None:
    array = SAMPLES[kind]
    each = [size(array.slice(n, 1)) for n in range(len(array))]
    for start in range(len(array)):
        for end in range(start + 1, len(array) + 1):
            assert size(array.slice(start, end - start)) == sum(each[start:end])
    # What is written out plainly has the size that was foretold.
    texts = [value for value in array.to_pylist() if isinstance(value, str)]
    if texts:
        assert sum(each) == sum(map(len, texts)) + 8 * len(array)


def test_a_budget_ends_the_counting() -> None:
    with pytest.raises(Over):
        rows_size(pa.record_batch({"a": dictionary()}), MIB)


def test_common_files_are_read_whole(tmp_path: Path) -> None:
    # Dictionaries that fill the memory only on paper.
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"{n % 500} " * 40},
                {"role": "assistant", "content": "ok"},
            ]
        }
        for n in range(3000)
    ]
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd", row_group_size=1000)
    assert [item.raw for item in read_rows(str(path)) if isinstance(item, Row)] == rows
