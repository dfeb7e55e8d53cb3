from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.read import Limits
from sqsd_lint.read.csv import Unreadable, _check_header
from tests.counting import ComparedName
from tests.read.brief import brief, only_problem
from tests.read.conftest import Read

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)


@given(rows=st.lists(st.tuples(CELLS, CELLS), max_size=6), kind=st.sampled_from(["csv", "tsv"]))
def test_rows_round_trip_with_their_lines(read: Read, rows: list[tuple[str, str]], kind: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(
        out, delimiter="\t" if kind == "tsv" else ",", quoting=csv.QUOTE_ALL, lineterminator="\n"
    )
    writer.writerow(("a", "b"))
    expected = []
    for index, (a, b) in enumerate(rows):
        expected.append((out.getvalue().count("\n") + 1, index, {"a": a, "b": b}))
        writer.writerow((a, b))
    # A header and nothing below it is no empty file: the line may be a row that has no header.
    expected = expected or [(1, -1, "SQSD304")]
    assert brief(read(f"rows.{kind}", out.getvalue())) == expected


CASES = [
    ("a,b\r\n1,2\r\n", [(2, 0, {"a": "1", "b": "2"})]),
    ('a,b\n"1\n\n1",2\n3,4\n', [(2, 0, {"a": "1\n\n1", "b": "2"}), (5, 1, {"a": "3", "b": "4"})]),
    ("\na,b\n\n1,2\n", [(4, 0, {"a": "1", "b": "2"})]),
    ("a,b\n1\n2,3\n4,5,6\n", [(2, 0, "SQSD303"), (3, 1, {"a": "2", "b": "3"}), (4, 2, "SQSD303")]),
    ('a,b\n"1"x,2\n3,4\n', [(2, 0, "SQSD303"), (3, 1, {"a": "3", "b": "4"})]),
    ('a,b\n1,2\n"3,4\n5,6\n', [(2, 0, {"a": "1", "b": "2"}), (3, -1, "SQSD304")]),
    ('a,b\n5" pipe,x\n', [(2, 0, {"a": '5" pipe', "b": "x"})]),
    ("\ufeffa,b\n1,2\n", [(2, 0, {"a": "1", "b": "2"})]),
    (",a,\n1,2,3\n", [(2, 0, {"": "3", "a": "2"})]),
    ("a,a\n1,2\n", [(1, -1, "SQSD304")]),
    ("a;b\n1;2\n", [(2, 0, {"a": "1", "b": "2"})]),
    ("", []),
    ("a,b\n", [(1, -1, "SQSD304")]),
    ('"a\n1,2\n', [(1, -1, "SQSD304")]),
    ('"a"x,b\n1,2\n', [(1, -1, "SQSD304")]),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[case[0][:20] for case in CASES])
def test_files(read: Read, text: str, expected: list[Any]) -> None:
    assert brief(read("rows.csv", text)) == expected


def test_bad_utf8_costs_one_record(read: Read) -> None:
    items = read("rows.csv", b'a,b\n1,2\n"\n\xff",4\n5,6\n')
    assert brief(items) == [(2, 0, {"a": "1", "b": "2"}), (3, 1, "SQSD303"), (5, 2, {"a": "5", "b": "6"})]
    assert "byte 0xff at byte offset 10" in only_problem(items).message


def test_cells_beyond_the_modules_own_limit(read: Read) -> None:
    text = "x" * 200_000
    assert brief(read("rows.csv", f"a\n{text}\n")) == [(2, 0, {"a": text})]


@pytest.mark.parametrize("long", ["x" * 2000, '"' + "x\n" * 1000 + '"'])
def test_a_record_over_the_limit_ends_the_reading(read: Read, long: str) -> None:
    items = read("rows.csv", f"a\n1\n{long}\n2\n", limits=Limits(max_line_bytes=1000))
    assert brief(items) == [(2, 0, {"a": "1"}), (3, -1, "SQSD304")]
    assert "max_line_bytes (1000 bytes)" in only_problem(items).message


def test_tabs_in_a_csv_that_no_row_has_are_named(read: Read) -> None:
    problem = only_problem(read("rows.csv", "a\tb\n1 2\n"))
    assert "divided by '\\t', where ',' was expected" in problem.message


def test_a_wide_header_names_the_column_that_stands_twice(read: Read) -> None:
    names = ",".join(f"c{n}" for n in range(20_000))
    assert "the column 'c7' twice" in only_problem(read("rows.csv", f"{names},c7\n")).message


def test_a_wide_header_is_checked_without_comparing_all_pairs() -> None:
    header: list[str] = [ComparedName(f"c{n}") for n in (*range(2000), 7)]
    ComparedName.compared = 0
    with pytest.raises(Unreadable, match="c7"):
        _check_header(header, 1)
    assert ComparedName.compared <= len(header)
