"""JSON as tools write it: one reading, or one message a file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sqsd_lint.types import Row
from tests.read.brief import brief, only_problem
from tests.read.conftest import Read

ROWS = [{"prompt": f"p{n}", "completion": f"c{n}"} for n in range(3)]
PRETTY = "\n".join(json.dumps(row, indent=2) for row in ROWS)
COLUMNS = {name: {str(n): row[name] for n, row in enumerate(ROWS)} for name in ROWS[0]}
LISTS = {name: [row[name] for row in ROWS] for name in ROWS[0]}
SPLIT = {"columns": list(ROWS[0]), "index": [0, 1, 2], "data": [list(row.values()) for row in ROWS]}
TIGHT = {**SPLIT, "index_names": [None], "column_names": [None]}


def shapes(key: str) -> dict[str, Any]:
    return {"version": 2, "meta": {"a": [1]}, key: ROWS, "more": "text"}


READ = [
    ("pretty objects", "jsonl", PRETTY),
    ("pretty objects", "json", PRETTY),
    ("pretty objects with CRLF", "jsonl", PRETTY.replace("\n", "\r\n")),
    ("objects on one line", "jsonl", "".join(map(json.dumps, ROWS))),
    ("objects on one line", "json", " ".join(map(json.dumps, ROWS))),
    (
        "two on the first line",
        "jsonl",
        json.dumps(ROWS[0]) + json.dumps(ROWS[1]) + "\n" + json.dumps(ROWS[2]),
    ),
    ("array over lines", "jsonl", "[" + ",\n".join(map(json.dumps, ROWS)) + "]"),
    ("array on its own lines", "ndjson", "\n" + json.dumps(ROWS, indent=1)),
    ("array on one line", "jl", json.dumps(ROWS)),
    ("to_json()", "json", json.dumps(COLUMNS)),
    ("to_json(indent)", "json", json.dumps(COLUMNS, indent=2)),
    ("index", "json", json.dumps({str(n): row for n, row in enumerate(ROWS)})),
    ("index of names", "json", json.dumps({f"row {n}": row for n, row in enumerate(ROWS)})),
    ("lists", "json", json.dumps(LISTS)),
    ("split", "json", json.dumps(SPLIT)),
    ("tight", "json", json.dumps(TIGHT)),
    *((key, "json", json.dumps(shapes(key), indent=i)) for key in ("examples", "records") for i in (None, 1)),
    ("unheard of key", "json", json.dumps(shapes("my rows"))),
]


@pytest.mark.parametrize(("suffix", "text"), [c[1:] for c in READ], ids=[f"{c[0]}-{c[1]}" for c in READ])
def test_one_reading(read: Read, suffix: str, text: str) -> None:
    items = read(f"rows.{suffix}", text)
    assert [item.raw if isinstance(item, Row) else item for item in items] == ROWS
    places = [item.where.place for item in items]
    assert len(set(places)) == len(places), places


ONE_ROW = [
    {"messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function"}]},
    {"chosen": [{"role": "user", "content": "x"}], "rejected": [{"role": "user", "content": "x"}]},
    {"prompt": "p", "completion": "c", "sources": [{"prompt": "x", "completion": "y"}]},
    {"train": {"a": 1}, "test": {"a": 1}},
    {"prompt": ["a", "b"], "completion": ["c"]},
    {"columns": ["a"], "data": [[1, 2]]},
    {"columns": ["a", "a"], "data": [[1, 2]]},
    {},
]


@pytest.mark.parametrize("row", ONE_ROW, ids=range(len(ONE_ROW)))
def test_a_document_that_may_as_well_be_one_row_is_one(read: Read, row: Any) -> None:
    assert brief(read("rows.json", json.dumps(row))) == [(1, 0, row)]


MANY = 50
REFUSED = [
    ("messages a line", "jsonl", '[{"role": "user", "content": "x"}]\n' * MANY, '{"messages": [...]}'),
    ("ShareGPT a line", "jsonl", '[{"from": "human", "value": "x"}]\n' * MANY, '{"messages": [...]}'),
    ("values a line", "jsonl", '["q", "a"]\n' * MANY, "prompt"),
    ("orient values", "json", json.dumps([["q", "a"]] * MANY), "orient='records'"),
]


@pytest.mark.parametrize(("suffix", "text", "hint"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_one_message_a_file(read: Read, suffix: str, text: str, hint: str) -> None:
    items = read(f"rows.{suffix}", text)
    assert len(items) == 1
    assert only_problem(items).code == "SQSD304"
    assert hint in only_problem(items).hint


def test_a_comma_behind_the_last_row_is_named(read: Read) -> None:
    items = read("rows.json", json.dumps(ROWS)[:-1] + ",\n]")
    assert [what for *_, what in brief(items)] == [*ROWS, "SQSD304"]
    assert "behind the comma, found ']'" in only_problem(items).message


def test_a_row_around_rows_is_not_lost_in_silence(read: Read) -> None:
    items = read("rows.json", json.dumps({"examples": ROWS[:1], **ROWS[1]}))
    assert brief(items) == [(1, 0, ROWS[0]), (1, -1, "SQSD303")]
    assert "looks like a row itself" in only_problem(items).message


def test_a_first_line_that_is_broken_costs_that_row_alone(read: Read) -> None:
    for first in ('{"a": 1', "nonsense", '{"a": "x', "[1, 2", '{"a": 1}}'):
        items = read("rows.jsonl", f'{first}\n{{"b": 1}}\n{{"c": 1}}\n')
        assert [what for *_, what in brief(items)] == ["SQSD303", {"b": 1}, {"c": 1}], first


PLACES = [
    ('[{"a": 1}, {"a": 2}]', ["1#1", "1#2"]),
    ('[{"a": 1},\n{"a": 2}]', ["1", "2"]),
    ('[{"a": 1}, {"a": 2},\n{"a": 3}]', ["1#1", "1#2", "2"]),
    ('[\n{"a": 1},\n{"a": 2}, {"a": 3}, {"a": 4, "a": 5}]', ["2", "3#2", "3#3", "3#4"]),
    ('[{"a": 1}]', ["1"]),
    ('{"train": [{"a": 1}], "test": [{"a": 2}]}', ["1#1", "1#2"]),
    ('[{"a": 1}, {"a": 2}', ["1#1", "1#2", "1"]),
]


@pytest.mark.parametrize(("text", "places"), PLACES, ids=range(len(PLACES)))
def test_rows_that_share_a_line_say_their_number(read: Read, text: str, places: list[str]) -> None:
    items = read("rows.json", text)
    assert [item.where.place for item in items] == places
    assert str(items[0].where).endswith(f"rows.json:{places[0]}")


@pytest.mark.parametrize("digits", [308, 309, 400, 5000, 100_000])
@pytest.mark.parametrize("sign", ["", "-"])
def test_integers_of_any_size_cost_no_row(read: Read, digits: int, sign: str) -> None:
    text = sign + "9" * digits
    ((_, _, raw),) = brief(read("rows.jsonl", f'{{"id": {text}}}'))
    assert raw == {"id": int(text) if digits <= 308 else text}
    if digits <= 308:
        float(raw["id"])


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400, "-" + "9" * 309, "1e-400", "NaN", "-0"])
def test_a_weight_of_any_number_ends_nothing(read: Read, number: str) -> None:
    from sqsd_lint.samples import to_sample

    turns = (
        f'[{{"role": "user", "content": "x"}}, {{"role": "assistant", "content": "y", "weight": {number}}}]'
    )
    (row,) = read("rows.jsonl", f'{{"messages": {turns}}}')
    assert isinstance(row, Row)
    assert to_sample(row).where == row.where
