from __future__ import annotations

import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.common.escape import cells, escape
from sqsd_lint.report.style.page import open_page
from sqsd_lint.report.views.explanation.heat import (
    Cell,
    escaped_pieces,
    folded,
    heat_cells,
    level,
    mark,
    reference,
    swatch,
)

COMMANDS = [
    "::error::x",
    "a ::set-output name=x::y",
    "##[group]",
    "##vso[task]",
    "\x1b[31m",
    "e" + "\u0301" * 9,
]


@pytest.mark.parametrize("text", [*COMMANDS, "", "\\x1b \\", "\\", "a\\", "\ud800", "\U000e0001"])
def test_pieces_of_an_escaped_text(text: str) -> None:
    assert "".join(escaped_pieces(text)) == escape(text)
    assert len(escaped_pieces(text)) == len(text)


@given(text=st.text() | st.text(alphabet=st.sampled_from(":# \\x3a[]errorgup\u0301\x1be")))
def test_pieces_are_the_whole_escaped_text(text: str) -> None:
    pieces = escaped_pieces(text)
    assert "".join(pieces) == escape(text)
    assert len(pieces) == len(text)
    assert all(pieces)


def test_levels() -> None:
    assert [level(v, 1.0) for v in (0, 0.05, 0.1, 0.3, 0.55, 0.8, 9)] == [0, 0, 1, 2, 3, 4, 4]
    assert [level(-v, 1.0) for v in (0.1, 0.3, 0.55, 0.8)] == [-1, -2, -3, -4]
    assert [level(v, 1.0) for v in (math.nan, math.inf)] == [0, 0]
    assert level(1.0, 0.0) == 0


def test_one_extreme_share_does_not_hide_the_others() -> None:
    assert reference([*[1.0] * 50, -100.0]) == 1.0
    assert reference([]) == reference([0.0, math.nan]) == 0.0
    assert reference([-2.0]) == 2.0


def test_lines_keep_their_levels() -> None:
    lines = heat_cells("ab\r\n\x1bc", [1, 2, 0, 0, 3, 4])
    assert lines == [[Cell("a", 1), Cell("b", 2)], [Cell("\\x1b", 3), Cell("c", 4)]]


@given(text=st.text(alphabet=st.sampled_from("ab 界\x1b"), max_size=80), room=st.integers(4, 20))
def test_folding_keeps_the_text_and_the_width(text: str, room: int) -> None:
    (line,) = heat_cells(text, [0] * len(text))
    rows = ["".join(c.text for c in row) for row in folded(line, room)]
    assert all(cells(row) <= room for row in rows)
    assert "".join(rows).replace(" ", "") == "".join(c.text for c in line).replace(" ", "")


def test_words_are_not_cut_where_blanks_are() -> None:
    (line,) = heat_cells("one two three", [0] * 13)
    assert ["".join(c.text for c in row) for row in folded(line, 8)] == ["one two", "three"]
    (line,) = heat_cells("abcdefgh ijk", [0] * 12)
    assert ["".join(c.text for c in row) for row in folded(line, 4)] == ["abcd", "efgh", "ijk"]


def test_without_colour_and_beyond_ascii_every_level_has_a_mark_of_its_own() -> None:
    for encoding in ("utf-8", "ascii"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        page = open_page(stream, 80, {"NO_COLOR": "1"})
        marks = [mark(page, each) for each in range(-4, 5)]
        assert len(set(marks)) == 9
        assert marks[4] == " "
        "".join(marks).encode(encoding)
        assert swatch(page, range(-4, 5), 2).plain.strip().encode(encoding)
