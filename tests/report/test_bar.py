from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.report.style.bar import Scale, bar, histogram, rows, scale_of
from sqsd_lint.report.style.page import ASCII, Glyphs
from tests.report.reports import HEAD


def test_the_lines_stand_at_one_and_two_thirds() -> None:
    scale = scale_of(HEAD, [100.0])
    assert scale is not None
    assert scale.filled(4.10) == pytest.approx(1 / 3)
    assert scale.filled(6.42) == pytest.approx(2 / 3)
    assert scale.filled(1000.0) == 1.0
    assert scale.filled(-1000.0) == 0.0


def test_without_an_ordered_pair_of_lines_the_scores_set_the_scale() -> None:
    head = replace(HEAD, warning_threshold=None)
    scale = scale_of(head, [8.0, float("nan"), 12.0])
    assert scale is not None
    assert scale.filled(8.0) < scale.filled(10.0) < scale.filled(12.0) == 1.0
    assert scale_of(head, []) is None
    assert scale_of(head, [8.0]) is not None


@given(st.floats(), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_share_is_a_share_whatever_the_score(score: float, low: float, high: float) -> None:
    assert 0.0 <= Scale(low, high).filled(score) <= 1.0


@given(st.floats(0, 1), st.integers(1, 40), st.sampled_from([Glyphs(), ASCII]))
def test_a_bar_has_its_width_and_shows_something(filled: float, width: int, glyphs: Glyphs) -> None:
    full, track = bar(filled, width, glyphs)
    assert len(full + track) == width
    assert full


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.integers(1, 80))
def test_a_histogram_counts_every_score_once(scores: list[float], bins: int) -> None:
    found = histogram([*scores, float("nan")], bins)
    assert found is not None
    assert sum(found.counts) == len(scores)


def test_a_histogram_covers_the_lines() -> None:
    found = histogram([0.0, 1.0], bins=10, marks=[5.0])
    assert found is not None
    assert (found.low, found.high) == (0.0, 5.0)
    assert found.column(5.0) == 9


def test_a_histogram_needs_a_score() -> None:
    assert histogram([float("nan")], bins=10) is None


def test_the_rows_of_a_histogram() -> None:
    assert rows([0, 1, 8, 1000], 2, Glyphs()) == ["   █", " ▁▁█"]
    assert rows([0, 1, 1000], 2, ASCII) == ["  #", " ##"]
