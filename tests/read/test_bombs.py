"""Columnar files that are small on disk and large in memory."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sqsd_lint.read import Limits, read_rows
from sqsd_lint.read.arrow import file_sizes, stream_sizes
from sqsd_lint.read.columnar import SLICE, _check_schema
from sqsd_lint.read.problems import Unreadable
from sqsd_lint.types import Problem, Row
from tests.counting import ComparedName, lines_run
from tests.read.brief import brief, only_problem

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

MIB = 2**20
POOLS: list[Any] = []  # what a pool has allocated may be freed later than the test ends


def read_within(path: Path, peak: int, **limits: int) -> list[Row | Problem]:
    """Reads a file for which pyarrow may allocate at most `peak` bytes at any time."""
    before = pa.default_memory_pool()
    POOLS.append(pa.proxy_memory_pool(pa.system_memory_pool()))
    pa.set_memory_pool(POOLS[-1])
    try:
        items = list(read_rows(str(path), limits=Limits(**limits)))
    finally:
        pa.set_memory_pool(before)
    assert POOLS[-1].max_memory() <= peak
    return items


def write_ipc(path: Path, batches: list[Any], *, stream: bool, codec: str | None) -> None:
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    options = pa.ipc.IpcWriteOptions(compression=codec, emit_dictionary_deltas=True)
    with pa.OSFile(str(path), "wb") as sink, new(sink, batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)


def zeros(values: int) -> Any:
    return pa.Array.from_buffers(pa.int64(), values, [None, pa.py_buffer(bytes(8 * values))])


def test_run_lengths_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    values = 9 * MIB
    column = pa.ListArray.from_arrays(pa.array([0, values], pa.int32()), zeros(values))
    pq.write_table(pa.table({"a": column}), path, compression="zstd")
    assert path.stat().st_size < 2000
    problem = only_problem(read_within(path, MIB))
    assert (problem.code, problem.where.line) == ("SQSD304", 0)
    assert "max_ratio (1000)" in problem.message
    problem = only_problem(read_within(path, MIB, max_decompressed_bytes=MIB))
    assert "max_decompressed_bytes (1 MiB)" in problem.message


def test_a_dictionary_in_parquet_is_copied_to_few_rows_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    value = pa.DictionaryArray.from_arrays(pa.array([0] * SLICE, pa.int32()), ["x" * MIB])
    pq.write_table(pa.table({"a": value}), path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 5000
    items = read_within(path, 150 * MIB)
    assert "max_ratio" in only_problem(items).message


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", ["values", "dictionary"])
def test_compressed_batches_in_arrow(tmp_path: Path, stream: bool, codec: str, kind: str) -> None:
    path = tmp_path / "rows.arrow"
    column = pa.array(["x" * (70 * MIB)])
    if kind == "dictionary":
        column = pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), column)
    small = pa.array(["good"]).cast(column.type)
    batches = [pa.record_batch({"a": part}) for part in (small, column)]
    write_ipc(path, batches if kind == "values" else batches[1:], stream=stream, codec=codec)
    assert path.stat().st_size < MIB
    items = read_within(path, MIB, max_ratio=100)
    assert "max_ratio (100)" in only_problem(items).message
    assert brief(items)[:-1] == ([(1, 0, {"a": "good"})] if kind == "values" else [])
    assert only_problem(items).where.line == (2 if kind == "values" else 1)


@pytest.mark.parametrize("codec", [None, "zstd", "lz4"])
@pytest.mark.parametrize("stream", [True, False])
def test_sizes_are_those_of_the_buffers(tmp_path: Path, stream: bool, codec: str | None) -> None:
    path = tmp_path / "rows.arrow"
    batches = [pa.record_batch({"a": zeros(n), "b": zeros(n)}) for n in (1000, 5000, 0)]
    write_ipc(path, batches, stream=stream, codec=codec)
    sizes = list((stream_sizes if stream else file_sizes)(memoryview(path.read_bytes())))
    expected = [16_000, 80_000, 0] if codec else [0, 0, 0]
    assert sizes == [*expected, *([0] if stream else [])]


def test_dictionaries_that_grow_count_with_the_batch_behind_them(tmp_path: Path) -> None:
    path = tmp_path / "rows.arrow"
    words = ["a" * 5000, "b" * 7000]
    parts = [pa.array([0], pa.int8()), pa.array([1], pa.int8())]
    batches = [
        pa.record_batch({"a": pa.DictionaryArray.from_arrays(part, words[: n + 1])})
        for n, part in enumerate(parts)
    ]
    write_ipc(path, batches, stream=True, codec="zstd")
    first, second, end = stream_sizes(memoryview(path.read_bytes()))
    assert 5000 <= first < 5100
    assert 7000 <= second < 7100
    assert end == 0
    assert brief(read_rows(str(path))) == [(n + 1, n, {"a": word}) for n, word in enumerate(words)]


@pytest.mark.parametrize("sizes", [stream_sizes, file_sizes])
def test_headers_that_lead_out_of_the_file(sizes: Callable[[memoryview], Iterator[int]]) -> None:
    for header in (b"\xff" * 40, struct.pack("<II", 0xFFFFFFFF, 8) + b"\xf0\xff\xff\xff" * 8):
        with pytest.raises(ValueError):
            list(sizes(memoryview(header + struct.pack("<i", 16) + b"ARROW1")))


def test_rows_without_data_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "rows.arrow"
    write_ipc(path, [pa.record_batch({"a": pa.nulls(100 * MIB)})], stream=True, codec=None)
    assert "max_ratio" in only_problem(read_rows(str(path))).message


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_wide_schemas_are_checked_in_linear_time(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    none = pa.array([], pa.int8())

    def work(columns: int) -> int:
        names = [*(f"c{n}" for n in range(columns)), "c7"]
        table = pa.table([none] * len(names), names=names)
        if suffix == "parquet":
            pq.write_table(table, path)
        else:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema):
                pass
        found: list[Row | Problem] = []
        lines = lines_run(lambda: found.extend(read_rows(str(path))))
        assert "'c7' appears twice" in only_problem(found).message
        return lines

    work(8)  # imports what it needs
    assert work(8000) < 2.2 * work(4000)


def test_wide_schemas_are_checked_without_comparing_all_pairs() -> None:
    names = [ComparedName(f"c{n}") for n in (*range(2000), 7)]
    ComparedName.compared = 0
    with pytest.raises(Unreadable, match="c7"):
        _check_schema(SimpleNamespace(names=names), max_depth=10)
    assert ComparedName.compared <= len(names)
