from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.read import Limits
from sqsd_lint.types import Problem, Row
from tests.read.brief import brief, only_problem
from tests.read.conftest import Read
from tests.read.test_jsonl import ROWS


@given(
    rows=st.lists(ROWS, max_size=6), indent=st.sampled_from([None, 0, 2]), key=st.sampled_from(["", "data"])
)
def test_an_array_round_trips(read: Read, rows: list[Any], indent: int | None, key: str) -> None:
    data = json.dumps({"version": 1, key: rows} if key else rows, indent=indent)
    items = read("rows.json", data)
    if key and not rows:
        assert brief(items) == [(1, 0, {"version": 1, "data": []})]
        return
    assert [item.raw for item in items if isinstance(item, Row)] == rows
    assert [item.where.index for item in items] == list(range(len(rows)))


@given(sizes=st.lists(st.integers(0, 200_000), min_size=1, max_size=12), indent=st.sampled_from([None, 1]))
def test_rows_across_the_reading_window(read: Read, sizes: list[int], indent: int | None) -> None:
    rows = [
        {"n": n, "text": "ä\n" * (size // 2), "tail": [1.5, True, None, "\\"]} for n, size in enumerate(sizes)
    ]
    data = json.dumps(rows, indent=indent, ensure_ascii=False).encode()
    items = read("rows.json", data)
    assert [item.raw for item in items if isinstance(item, Row)] == rows
    if indent:
        # "[", then per row an opening line, its members and a closing line.
        assert [item.where.line for item in items] == [2 + n * 10 for n in range(len(rows))]


def test_numbers_across_the_reading_window(read: Read) -> None:
    numbers = [n * 7919 for n in range(120_000)]
    data = json.dumps(numbers)
    assert len(data) > 2 * 256 * 1024
    assert [item.raw for item in read("rows.json", data)] == numbers  # type: ignore[union-attr]


CASES = [
    ('[{"a": 1},\n {"a": 2}]\n', [(1, 0, {"a": 1}), (2, 1, {"a": 2})]),
    ("\n\n[\n\n{\n},{}]", [(5, 0, {}), (6, 1, {})]),
    ("[]", []),
    ('{"a":\n 1}', [(1, 0, {"a": 1})]),
    ("{}", [(1, 0, {})]),
    ('{"data": [{"a": 1}], "version": 2}', [(1, 0, {"a": 1})]),
    ('{"train": [{"a": 1}],\n"test": [\n{"a": 2}]}', [(1, 0, {"a": 1}), (3, 1, {"a": 2})]),
    ('{"data": []}', []),
    ('{"data": [], "a": 1}', [(1, 0, {"a": 1, "data": []})]),
    ('{"data": ["x"], "a": 1}', [(1, 0, {"data": ["x"], "a": 1})]),
    ('{"messages": [{"role": "user"}]}', [(1, 0, {"messages": [{"role": "user"}]})]),
    ('{"data": [{"a": 1}], "more": [{"a": 2}]}', [(1, 0, {"a": 1}), (1, -1, "SQSD303")]),
    ('{"a": 1}\n{"a": 2}\n', [(1, 0, {"a": 1}), (2, 1, {"a": 2})]),
    ('{"a": 1}\nnonsense\n{"a": 2}\n', [(1, 0, {"a": 1}), (2, -1, "SQSD304")]),
    (
        '{"data": [1]}\n{"a": 2}\nnonsense\n{"a": 3}',
        [(1, 0, {"data": [1]}), (2, 1, {"a": 2}), (3, 2, "SQSD303"), (4, 3, {"a": 3})],
    ),
    ('[{"a": 1}, {"a": 1, "a": 2}, {"a": 3}]', [(1, 0, {"a": 1}), (1, 1, "SQSD303"), (1, 2, {"a": 3})]),
    ('{"a": 1, "a": 2}', [(1, 0, "SQSD303")]),
    ('{"data": [{"a": 1}], "data": [{"a": 2}]}', [(1, 0, {"a": 1}), (1, 1, {"a": 2}), (1, -1, "SQSD304")]),
    ("[" + "[" * 64 + "]" * 64 + ", 1]", [(1, 0, [[]]), (1, 1, 1)]),
    ("[" + "[" * 65 + "]" * 65 + ", 1]", [(1, 0, "SQSD303"), (1, 1, 1)]),
    ("[\n" + "[" * 100_000, [(2, -1, "SQSD304")]),
    ('[{"a": 1},\n{"a": 2}', [(1, 0, {"a": 1}), (2, 1, {"a": 2}), (2, -1, "SQSD304")]),
    ('[{"a": 1},\n{"a": ', [(1, 0, {"a": 1}), (2, -1, "SQSD304")]),
    ('[{"a": 1}\n{"a": 2}]', [(1, 0, {"a": 1}), (2, -1, "SQSD304")]),
    ('[{"a": 1},\n]', [(1, 0, {"a": 1}), (2, -1, "SQSD304")]),
    ('[{"a": 1}]\n\n[]', [(1, 0, {"a": 1}), (3, -1, "SQSD304")]),
    ("{1: 2}", [(1, -1, "SQSD304")]),
    ('{"a" 2}', [(1, -1, "SQSD304")]),
    ("", [(1, -1, "SQSD304")]),
    ("\n7", [(2, -1, "SQSD304")]),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[case[0][:30] for case in CASES])
def test_documents(read: Read, text: str, expected: list[Any]) -> None:
    if expected and expected[0][2] == [[]]:
        expected = [(1, 0, json.loads("[" * 64 + "]" * 64)), *expected[1:]]
    assert brief(read("rows.json", text)) == expected


def test_damage_names_line_and_column(read: Read) -> None:
    problem = only_problem(read("rows.json", '[\n  {"a": 1},\n  {"a": 2} x]'))
    assert "line 3, column 12: ',' was expected, found 'x]'" in problem.message
    problem = only_problem(read("rows.json", '[\n  {"a": 1},\n  {"a" 2}]'))
    assert "line 3, column 8: expecting ':' delimiter, found '2}]'" in problem.message


def test_rows_before_bad_utf8_are_read(read: Read) -> None:
    items = read("rows.json", b'[{"a": 1},\n{"a": "\xff"}]')
    assert brief(items) == [(1, 0, {"a": 1}), (2, -1, "SQSD304")]
    assert "byte 0xff at byte offset 18" in only_problem(items).message


def test_bad_utf8_at_the_very_end(read: Read) -> None:
    items = read("rows.json", b'[{"a": 1}]\n\xc3')
    assert brief(items) == [(1, 0, {"a": 1}), (2, -1, "SQSD304")]


def test_limits_of_a_row(read: Read) -> None:
    limits = Limits(max_line_bytes=1000)
    long = {"a": "x" * 1000}
    items = read("rows.json", json.dumps([{"n": 1}, long, {"n": 2}]), limits=limits)
    assert brief(items) == [(1, 0, {"n": 1}), (1, 1, "SQSD303"), (1, 2, {"n": 2})]
    # One that does not even fit the window cannot be stepped over.
    items = read("rows.json", json.dumps([{"n": 1}, {"a": "x" * 1_000_000}, {"n": 2}]), limits=limits)
    assert brief(items) == [(1, 0, {"n": 1}), (1, -1, "SQSD304")]
    assert "max_line_bytes (1000 bytes)" in only_problem(items).message
    wide = {f"k{n}": "x" * 100 for n in range(20)}
    assert brief(read("rows.json", json.dumps(wide, indent=1), limits=limits)) == [(1, -1, "SQSD304")]


def test_white_space_across_the_reading_window(read: Read) -> None:
    gap = " \n" * 200_000
    text = f'{gap}{{"data"{gap}:{gap}[{gap}{{"a":{gap}1}}{gap},{gap}{{}}{gap}]{gap}}}{gap}'
    lines = [item.where.line for item in read("rows.json", text)]
    assert lines == [800_001, 1_400_001]


def test_an_unread_array_counts_its_rows(read: Read) -> None:
    problem = only_problem(read("rows.json", '{"data": [{"a": 1}], "more": [{"a": 2}, {"a": 3}]}'))
    assert isinstance(problem, Problem)
    assert problem.rows == 2
    assert "'more'" in problem.message
