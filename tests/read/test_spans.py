"""The bytes that a row says it is, read alone, are the row."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.types import Row
from tests.read.conftest import Read
from tests.read.test_jsonl import ROWS

BOM = b"\xef\xbb\xbf"
TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
PLAIN_ROWS = st.lists(st.dictionaries(TEXT, TEXT | st.integers() | st.lists(TEXT)), min_size=1, max_size=6)


def spans(items: Any) -> list[tuple[int, int]]:
    found = [item.span for item in items if isinstance(item, Row)]
    assert all(one[1] <= two[0] for one, two in pairwise(found))
    return found


@given(rows=PLAIN_ROWS, mark=st.booleans(), ends=st.sampled_from(["\n", "\r\n", "\n\n", " \n"]))
def test_lines(read: Read, rows: list[Any], mark: bool, ends: str) -> None:
    data = (BOM if mark else b"") + "".join(json.dumps(r, ensure_ascii=False) + ends for r in rows).encode()
    found = spans(read("rows.jsonl", data))
    assert [json.loads(data[start:end]) for start, end in found] == rows
    assert all(data[start:end].endswith(b"\n") and data[start:end].count(b"\n") == 1 for start, end in found)


@given(
    rows=PLAIN_ROWS,
    mark=st.booleans(),
    indent=st.sampled_from([None, 1]),
    shape=st.sampled_from(["array", "key", "objects"]),
)
def test_documents(read: Read, rows: list[Any], mark: bool, indent: int | None, shape: str) -> None:
    if shape == "objects":  # each over several lines
        rows, indent = [{**row, "": 1} for row in rows], 1
    texts = [json.dumps(row, ensure_ascii=False, indent=indent) for row in rows]
    text = {
        "array": "[ " + " ,\n".join(texts) + "]",
        "key": '{"vérsion": 1, "data": [' + ",".join(texts) + "]}",
        "objects": "\n \n".join(texts),
    }[shape]
    data = (BOM if mark else b"") + text.encode()
    found = spans(read("rows.json", data))
    assert [json.loads(data[start:end]) for start, end in found] == rows
    assert all(data[start : start + 1] == b"{" and data[end - 1 : end] == b"}" for start, end in found)


@given(rows=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5), end=st.sampled_from(["\n", "\r\n"]))
def test_records(read: Read, rows: list[tuple[str, str]], end: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator=end)
    rows = [(a.replace("\0", ""), b.replace("\0", "")) for a, b in rows]
    writer.writerows([("ä", "b"), *rows])
    data = out.getvalue().encode()
    for (start, stop), row in zip(spans(read("rows.csv", data)), rows, strict=True):
        assert next(csv.reader(io.StringIO(data[start:stop].decode(), newline=""))) == list(row)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress], ids=["gz", "bz2"])
def test_spans_are_of_the_decompressed_content(read: Read, pack: Any) -> None:
    suffix = "gz" if pack is gzip.compress else "bz2"
    assert spans(read(f"rows.jsonl.{suffix}", pack(BOM + b'{"a": 1}\n{"a": 2}'))) == [(3, 12), (12, 20)]


def test_spans_beyond_the_reading_window(read: Read) -> None:
    rows = [{"n": n, "text": "ä€😀\n" * 20_000} for n in range(8)]
    data = json.dumps(rows, ensure_ascii=False).encode()
    assert [json.loads(data[start:end]) for start, end in spans(read("rows.json", data))] == rows


@given(rows=st.lists(ROWS, min_size=2, max_size=3))
def test_rows_of_a_table_by_columns_have_none(read: Read, rows: list[Any]) -> None:
    columns = {"prompt": {str(n): "p" for n in range(len(rows))}}
    items = read("rows.json", json.dumps(columns))
    assert [item.span for item in items] == [None] * len(rows)  # type: ignore[union-attr]
