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
"""What a file of a few kilobytes may cost: it may unfold to 64 MiB, and Python's objects are larger."""

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
def test_arrow(tmp_path: Path, codec: str | None) -> None:
    paths, expected = [], []
    for number, (kind, make) in enumerate(IPC.items()):
        batch = pa.record_batch({"a": make()})
        options = pa.ipc.IpcWriteOptions(compression=codec)
        paths.append(tmp_path / f"{number}.arrow")
        with (
            pa.OSFile(str(paths[-1]), "wb") as sink,
            pa.ipc.new_file(sink, batch.schema, options=options) as out,
        ):
            out.write_batch(batch)
        expected.append((kind, 0, "SQSD303" if batch.num_rows == 1 else "SQSD304"))
    # What is not compressed is a larger file, which might unfold to more.
    readings = read_apart(paths, max_decompressed_bytes=64 * MIB)
    found = [(kind, got.rows, got.problems[0][0]) for kind, got in zip(IPC, readings, strict=True)]
    assert found == expected
    assert readings[-1].peak < PEAK


def write_parquet(path: Path, column: Any, **options: Any) -> None:
    options = {"compression": "zstd", "store_schema": False, **options}
    pq.write_table(pa.table({"a": column}), path, dictionary_pagesize_limit=2 * MIB, **options)


def parquet_dictionary(path: Path) -> None:
    write_parquet(path, dictionary())


def parquet_dictionary_in_one_list(path: Path) -> None:
    write_parquet(path, pa.ListArray.from_arrays(pa.array([0, ROWS], pa.int32()), dictionary()))


def parquet_nulls(path: Path) -> None:
    write_parquet(path, pa.nulls(64 * 10**6, pa.int8()), row_group_size=64 * 10**6)


def parquet_prefixes(path: Path) -> None:
    texts = pa.array([LONG] * 300)
    write_parquet(path, texts, use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY"})


def parquet_fixed_size(path: Path) -> None:
    write_parquet(path, pa.array([b"x" * MIB] * 300, pa.binary(MIB)))


PARQUET = [
    parquet_dictionary,
    parquet_dictionary_in_one_list,
    parquet_nulls,
    parquet_prefixes,
    parquet_fixed_size,
]


def test_parquet(tmp_path: Path) -> None:
    paths = []
    for write in PARQUET:
        paths.append(tmp_path / f"{write.__name__}.parquet")
        write(paths[-1])
        assert paths[-1].stat().st_size < MIB
    for path, found in zip(paths, read_apart(paths), strict=True):
        assert found.problems, path
        assert {code for code, _ in found.problems} <= {"SQSD303", "SQSD304"}
        assert found.rows <= 64, path
        assert found.peak < PEAK, path


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


@pytest.mark.parametrize("options", [{}, {"dictionary_pagesize_limit": 20_000}, {"data_page_version": "2.0"}])
@pytest.mark.parametrize("words", [500, 3000])
def test_common_files_are_read_whole(tmp_path: Path, words: int, options: dict[str, Any]) -> None:
    # Dictionaries that fill the memory only on paper, some of them given up halfway.
    rows = [
        {
            "messages": [{"role": "user", "content": f"{n % words} " * 90}, {"role": "bot", "content": None}],
            "text": None if n % 7 == 0 else f"{n % words} " * 30,
        }
        for n in range(3000)
    ]
    rows[10]["messages"], rows[11]["messages"] = None, []
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd", row_group_size=1300, **options)
    assert [item.raw for item in read_rows(str(path)) if isinstance(item, Row)] == rows
