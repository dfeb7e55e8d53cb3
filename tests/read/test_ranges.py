"""Files in parts: together they are the file, row for row and place for place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.read import read_rows
from sqsd_lint.read.ranges import content_of_part, parts_of, read_part
from sqsd_lint.types import Problem

LINES = st.sampled_from(
    ['{"a": 1}', '{"a": "é\\n"}', "{broken", "", "   ", "\r", "[1]", '{"text": "' + "x" * 300 + '"}', "\x00"]
)


@given(st.lists(LINES, max_size=30), st.integers(1, 12), st.booleans(), st.booleans())
def test_parts_of_lines_are_the_whole(
    tmp_path: Path, lines: list[str], rows: int, ended: bool, marked: bool
) -> None:
    path = tmp_path / "a.jsonl"
    text = "\n".join(['{"first": "row"}', *lines]) + ("\n" if ended else "")
    path.write_text(text, encoding="utf-8-sig" if marked else "utf-8", newline="")
    parts = parts_of(str(path), rows)
    whole = list(read_rows(str(path)))
    found = [item for part in parts for item in read_part(str(path), part)]
    assert found == whole
    assert {part.unit for part in parts} == {"bytes"}
    assert (parts[0].begin, parts[-1].end) == (0, path.stat().st_size)
    for part in parts[:-1]:
        assert part.count == rows
    for part in parts:
        assert content_of_part(str(path), part) == part.content


@pytest.mark.parametrize("rows", [1, 4, 5, 100])
def test_parts_of_parquet_are_its_row_groups(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist([{"text": str(i)} for i in range(23)]), path, row_group_size=4)
    parts = parts_of(str(path), rows)
    assert [item for part in parts for item in read_part(str(path), part)] == list(read_rows(str(path)))
    assert sum(part.count or 0 for part in parts) == 23
    assert len(parts) == {1: 6, 4: 6, 5: 3, 100: 1}[rows]


@pytest.mark.parametrize(
    "name", ["a.jsonl.gz", "a.json", "a.csv", "document.jsonl", "empty.parquet", "broken.parquet"]
)
def test_what_cannot_be_cut_is_one_part(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = [{"prompt": f"p {i}", "completion": f"c {i}"} for i in range(5)]
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    elif name == "a.csv":
        path.write_text("prompt,completion\np,c\nq,d\n")
    elif name == "empty.parquet":
        pq.write_table(pa.table({"text": pa.array([], pa.string())}), path)
    elif name == "broken.parquet":
        path.write_bytes(b"PAR1 and nothing more")
    else:
        path.write_text(json.dumps(rows, indent=1))
    (part,) = parts_of(str(path), 2)
    assert part.unit == "file"
    assert list(read_part(str(path), part)) == list(read_rows(str(path)))
    path.write_bytes(path.read_bytes() + b"\n")
    assert content_of_part(str(path), part) != part.content


def test_a_file_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n')
    (part,) = parts_of(str(path), 2)
    path.unlink()
    (problem,) = read_part(str(path), part)
    assert isinstance(problem, Problem)
    assert problem.code == "SQSD304"
