from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.explain.spans import UNITS, Unit, segments
from tests.counting import run_within_cpu_seconds


def pieces(text: str, unit: Unit) -> list[str]:
    return [text[start:end] for start, end in segments(text, unit)]


@pytest.mark.parametrize("unit", UNITS)
@given(text=st.text())
def test_pieces_follow_one_another_without_gaps(unit: Unit, text: str) -> None:
    found = segments(text, unit)
    assert "".join(text[start:end] for start, end in found) == text
    assert all(start < end for start, end in found)
    assert all(a[1] == b[0] for a, b in pairwise(found))


@given(text=st.text(alphabet=st.sampled_from("ab .!?\n\t。汉é1")))
def test_no_piece_is_blank_but_a_blank_text(text: str) -> None:
    for unit in ("word", "sentence"):
        for piece in pieces(text, unit):  # type: ignore[arg-type]
            assert piece.strip() or not text.strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", " Two!", " Three?"]),
        ('He said "go." Then he went.', ['He said "go."', " Then he went."]),
        ("Use e.g. this one. Fine", ["Use e.g. this one.", " Fine"]),
        ("1. Take it.\n2. Leave it.", ["1. Take it.", "\n2. Leave it."]),
        ("A title\n\nText here.", ["A title", "\n\nText here."]),
        ("3.5 of them, v1.2.3 too", ["3.5 of them, v1.2.3 too"]),
        ("今日は。明日は！終", ["今日は。", "明日は！", "終"]),
        ("It was 1999. Then came more.", ["It was 1999.", " Then came more."]),
        ("Wait... what?  ", ["Wait...", " what?  "]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert pieces(text, "sentence") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" two  words ", [" two", "  words "]),
        ("汉字 and", ["汉", "字", " and"]),
        ("line\nbreak", ["line", "\nbreak"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert pieces(text, "word") == expected


@pytest.mark.parametrize("repeated", ["a", ".", " ", "\n", "aa.)", "\n ", "a\u3002", "aa."])
def test_a_long_text_takes_time_in_proportion(repeated: str) -> None:
    """A pattern that tries every end from every start would compute for minutes, not for 20 seconds."""
    run_within_cpu_seconds(
        "from sqsd_lint.explain.spans import UNITS, segments\n"
        f"for unit in UNITS: segments({repeated!r} * (1_000_000 // {len(repeated)}), unit)\n",
        seconds=20,
    )
