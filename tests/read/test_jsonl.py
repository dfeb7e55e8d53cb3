from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.read import Limits
from sqsd_lint.types import Problem, Row
from tests.read.brief import brief, only_problem
from tests.read.conftest import Read

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ROWS = st.dictionaries(st.text(), VALUES, max_size=4)
BLANKS = st.sampled_from(["", "", "", "\n", " \t\r\n\n"])


@given(rows=st.lists(st.tuples(BLANKS, ROWS), max_size=8), ascii_only=st.booleans(), end=st.booleans())
def test_rows_round_trip_with_their_lines(
    read: Read, rows: list[tuple[str, Any]], ascii_only: bool, end: bool
) -> None:
    text, expected = "", []
    for index, (blank, row) in enumerate(rows):
        text += blank
        expected.append((text.count("\n") + 1, index, row))
        text += json.dumps(row, ensure_ascii=ascii_only) + "\n"
    data = (text if end else text.removesuffix("\n")).encode("utf-8", "surrogatepass")
    assert brief(read("rows.jsonl", data)) == expected


def test_line_separators_of_unicode_end_no_line(read: Read) -> None:
    assert brief(read("rows.jsonl", '{"a": "x\u2028y\u0085z"}\r\n{"a": 2}')) == [
        (1, 0, {"a": "x\u2028y\u0085z"}),
        (2, 1, {"a": 2}),
    ]


def test_a_byte_order_mark_is_no_content(read: Read) -> None:
    assert brief(read("rows.jsonl", b'\xef\xbb\xbf{"a": 1}\n')) == [(1, 0, {"a": 1})]


MALFORMED = [
    ('{"a": 1', "column 8: expecting ',' delimiter, found the end"),
    ("{'a': 1}", "column 2: expecting property name enclosed in double quotes, found \"'a': 1}\""),
    ('{"a": 1} {"b": 2}', "column 10: extra data, found '{\"b\": 2}'"),
    ("no json", "column 1: expecting value, found 'no json'"),
    ('{"a": "x', "column 7: unterminated string, found '\"x'"),
    ('{"a": 1, "a": 2}', "the key 'a' appears twice"),
    ('{"b": {"a": 1, "a": 2}}', "the key 'a' appears twice"),
    ('{"a": ' + "[" * 64 + "]" * 64 + "}", "nested deeper than max_depth (64 levels)"),
    ("[" * 100_000, "nested deeper than max_depth (64 levels)"),
    ("[" * 100_000 + "]" * 100_000, "nested deeper than max_depth (64 levels)"),
    ('{"a":' * 100_000, "nested deeper than max_depth (64 levels)"),
    ("\x00\x01\x02", "column 1: expecting value"),
    ("\x0b", "column 1: expecting value"),
]


@pytest.mark.parametrize(("text", "message"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_line_costs_one_row(read: Read, text: str, message: str) -> None:
    items = read("rows.jsonl", f'{{"n": 1}}\n\n{text}\n{{"n": 2}}\n')
    assert brief(items) == [(1, 0, {"n": 1}), (3, 1, "SQSD303"), (4, 2, {"n": 2})]
    problem = only_problem(items)
    assert message in problem.message
    assert problem.excerpt == text[:200]
    if "column" in message:
        assert "line 3, " in problem.message


def test_bytes_that_are_no_utf8_cost_one_row_and_are_named(read: Read) -> None:
    items = read("rows.jsonl", b'{"a": 1}\n{"a": "caf\xe9"}\n{"a": 3}\n')
    assert brief(items) == [(1, 0, {"a": 1}), (2, 1, "SQSD303"), (3, 2, {"a": 3})]
    assert only_problem(items).message == "not UTF-8: byte 0xe9 at byte offset 19"


def test_odd_but_readable_values_pass(read: Read) -> None:
    deep = '{"a": ' + "[" * 63 + "]" * 63 + "}"
    text = '"' + "[" * 500 + '"'
    items = read(
        "rows.jsonl", f'{{"a": NaN, "b": -Infinity, "c": 1e999, "d": "\\ud800"}}\n{deep}\n{text}\n7\n'
    )
    assert all(isinstance(item, Row) for item in items)
    first = items[0]
    assert isinstance(first, Row)
    assert math.isnan(first.raw["a"])
    assert first.raw["b"] == -math.inf
    assert first.raw["c"] == math.inf
    assert first.raw["d"] == "\ud800"
    assert [item.raw for item in items[2:]] == ["[" * 500, 7]  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [99, 100, 101, 102, 199, 200, 201, 202, 203, 1000])
def test_a_line_over_the_limit_costs_one_row(read: Read, size: int) -> None:
    long = json.dumps({"a": "x" * (size - 10)}).encode() + b"\n"  # `size` bytes with its end
    assert len(long) == size
    items = read("rows.jsonl", b'{"n": 1}\n' + long + b'{"n": 2}\n', limits=Limits(max_line_bytes=100))
    assert [item for item in brief(items) if item[1] != 1] == [(1, 0, {"n": 1}), (3, 2, {"n": 2})]
    if size <= 100:
        assert isinstance(items[1], Row)
    else:
        assert isinstance(items[1], Problem)
        assert items[1].code == "SQSD303"
        assert "max_line_bytes (100 bytes)" in items[1].message


def test_offsets_stay_true_behind_a_long_line(read: Read) -> None:
    data = b"x" * 350 + b"\n" + b"\xff\n"
    problem = read("rows.jsonl", data, limits=Limits(max_line_bytes=100))[1]
    assert isinstance(problem, Problem)
    assert "byte offset 351" in problem.message


def test_an_empty_file_has_no_rows(read: Read) -> None:
    assert read("rows.jsonl", b"") == []
