from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.read import Limits, read_rows
from sqsd_lint.types import Row
from tests.read.brief import brief, only_problem

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

ROWS = [
    {"prompt": f"p{n}", "messages": [{"role": "user", "content": "ü" * n}], "n": n, "none": None}
    for n in range(600)
]


def to_parquet(table: Any, path: Path) -> None:
    pq.write_table(table, path, row_group_size=250)


def to_stream(table: Any, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=300)


def to_file(table: Any, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=300)


def to_feather(table: Any, path: Path) -> None:
    import pyarrow.feather

    pyarrow.feather.write_feather(table, str(path))


Write = Callable[[Any, Path], None]
FORMATS = [
    pytest.param(to_parquet, ".parquet", id="parquet"),
    pytest.param(to_stream, ".arrow", id="stream"),
    pytest.param(to_file, ".arrow", id="file"),
    pytest.param(to_feather, ".feather", id="feather"),
]


@pytest.mark.parametrize(("write", "suffix"), FORMATS)
def test_rows_and_their_numbers(tmp_path: Path, write: Write, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    write(pa.Table.from_pylist(ROWS), path)
    assert brief(read_rows(str(path))) == [(n + 1, n, row) for n, row in enumerate(ROWS)]


@pytest.mark.parametrize(("write", "suffix"), FORMATS)
def test_no_rows(tmp_path: Path, write: Write, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    write(pa.table({"a": pa.array([], pa.string())}), path)
    assert list(read_rows(str(path))) == []


@pytest.mark.parametrize(("write", "suffix"), FORMATS)
def test_text_that_is_damaged_costs_one_row_and_times_beyond_python_none(
    tmp_path: Path, write: Write, suffix: str
) -> None:
    words = pa.array([b"good", b"\xff\xfe", b"fine"], pa.binary()).view(pa.string())
    path = tmp_path / f"rows{suffix}"
    write(pa.table({"a": words}), path)
    assert brief(read_rows(str(path))) == [(1, 0, {"a": "good"}), (2, 1, "SQSD303"), (3, 2, {"a": "fine"})]

    far = pa.array([0, 2**62], pa.int64()).cast(pa.timestamp("us"))
    path = tmp_path / f"far{suffix}"
    write(pa.table({"at": far}), path)
    epoch = datetime.datetime(1970, 1, 1)
    assert brief(read_rows(str(path))) == [(1, 0, {"at": epoch}), (2, 1, {"at": 2**62})]


@pytest.mark.parametrize(("write", "suffix"), FORMATS)
def test_limits(tmp_path: Path, write: Write, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    write(pa.table({"a": ["x", "y" * 5000, "z"]}), path)
    items = list(read_rows(str(path), limits=Limits(max_line_bytes=1000)))
    assert brief(items) == [(1, 0, {"a": "x"}), (2, 1, "SQSD303"), (3, 2, {"a": "z"})]
    assert "max_line_bytes" in only_problem(items).message
    items = list(read_rows(str(path), limits=Limits(max_decompressed_bytes=1000)))
    assert only_problem(items).code == "SQSD304"
    assert "max_decompressed_bytes" in only_problem(items).message


@pytest.mark.parametrize(("write", "suffix"), FORMATS)
def test_schemas_that_are_refused(tmp_path: Path, write: Write, suffix: str) -> None:
    path = tmp_path / f"twice{suffix}"
    if suffix != ".feather":
        write(pa.table([pa.array(["x"]), pa.array(["y"])], names=["a", "a"]), path)
        assert "'a' appears twice" in only_problem(read_rows(str(path))).message
    kind = pa.string()
    for _ in range(20):
        kind = pa.list_(kind)
    path = tmp_path / f"deep{suffix}"
    write(pa.table({"a": pa.array([None], kind)}), path)
    assert "max_depth (10 levels)" in only_problem(read_rows(str(path), limits=Limits(max_depth=10))).message


@pytest.mark.parametrize(("write", "suffix"), FORMATS)
def test_damage_anywhere_is_a_problem(tmp_path: Path, write: Write, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    write(pa.Table.from_pylist(ROWS), path)
    whole = path.read_bytes()
    for keep in (0, 1, 6, 50, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        items = list(read_rows(str(path)))
        if suffix == ".arrow" and write is to_stream and keep == len(whole) - 1:
            continue  # only the end mark is cut, which readers do not insist on
        assert only_problem(items[-1:]).code == "SQSD304"


@pytest.mark.parametrize(("write", "suffix"), FORMATS)
def test_flipped_bytes_raise_nothing(tmp_path: Path, write: Write, suffix: str) -> None:
    # Unchecked offsets would be followed out of the file: a crash here takes the whole process along.
    path = tmp_path / f"rows{suffix}"
    write(pa.Table.from_pylist(ROWS[:20]), path)
    whole = path.read_bytes()
    chance = random.Random(1)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.choice([0, 127, 128, 255, chance.randrange(256)])
        path.write_bytes(data)
        for item in read_rows(str(path)):
            assert isinstance(item, Row) or item.code in ("SQSD303", "SQSD304")


def test_damage_in_a_nested_column_costs_its_batch(tmp_path: Path) -> None:
    words = pa.array([b"good", b"\xff\xfe", b"fine"], pa.binary()).view(pa.string())
    nested = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), words)
    path = tmp_path / "rows.arrow"
    to_stream(pa.table({"a": nested}), path)
    assert [code for _, _, code in brief(read_rows(str(path)))] == ["SQSD303"] * 3


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_standard_input_is_refused(kind: str) -> None:
    import io

    problem = only_problem(read_rows("-", stdin=io.BytesIO(b"x" * 100), stdin_format=kind))
    assert "standard input" in problem.message


def test_what_datasets_saves(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(ROWS[:5]).save_to_disk(str(tmp_path / "saved"))
    (path,) = (tmp_path / "saved").glob("*.arrow")
    assert [raw for _, _, raw in brief(read_rows(str(path)))] == ROWS[:5]
