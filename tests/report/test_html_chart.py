from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.report.formats.html.chart import Chart, draw, make_bins
from sqsd_lint.types import Threshold
from tests.report.reports import HEAD

SCORES = st.floats(-1e9, 1e9)
ANY = st.floats(-1e299, 1e299) | st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1.7e308])


@given(st.lists(ANY, max_size=40), st.lists(st.floats(-1e12, 1e12), max_size=2), st.integers(1, 90))
def test_every_finite_score_is_in_one_bin(scores: list[float], lines: list[float], wanted: int) -> None:
    finite = [score for score in scores if abs(score) < 1e300]
    bins = make_bins(scores, lines, wanted)
    if not finite:
        assert bins is None
        return
    assert bins is not None
    assert sum(bins.counts) == len(finite)
    assert len(bins.counts) <= 2 * wanted + 3


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=60), st.integers(-40, 40), st.integers(1, 20))
def test_no_bin_holds_rows_of_two_verdicts(scores: list[int], warning: int, gap: int) -> None:
    """As many rows lie in the bins above a line as score above it, unless the lines lie within one bin."""
    lines = [float(warning), float(warning + gap)]
    bins = make_bins([float(score) for score in scores], lines, 200)
    assert bins is not None
    for line in lines:
        above = [count for at, count in enumerate(bins.counts) if bins.edge(at) + bins.width / 2 >= line]
        assert sum(above) == sum(score >= line for score in scores)


def chart(scores: list[float], error: float | None = 6.42, warning: float | None = 4.1) -> Chart:
    head = replace(
        HEAD,
        error_threshold=None if error is None else Threshold("p99.9", error),
        warning_threshold=None if warning is None else Threshold("p99", warning),
    )
    found = draw(scores, head, width=340, height=260, bins=34)
    assert found is not None
    return found


@given(st.lists(SCORES, min_size=1, max_size=40), SCORES | st.none(), SCORES | st.none())
def test_the_picture_stays_in_its_frame(
    scores: list[float], error: float | None, warning: float | None
) -> None:
    found = chart(scores, error, warning)
    assert found.bars
    for bar in found.bars:
        assert found.left - 1 <= bar.x
        assert bar.x + bar.width <= found.right + 2
        assert found.top - 0.1 <= bar.y
        assert bar.y + bar.height == pytest.approx(found.bottom, abs=0.2)
        assert bar.height >= 1.9
    for tick in found.x_ticks:
        assert found.left - 0.1 <= tick.at <= found.right + 0.1
    for mark in found.marks:
        assert found.left - 0.1 <= mark.x <= found.right + 0.1
    assert len(found.x_ticks) <= 10


def test_bars_have_the_colour_of_their_rows_verdict() -> None:
    found = chart([0, 4.0999, 4.1, 6.4199, 6.42, 8])
    assert [bar.zone for bar in found.bars] == ["", "", "warning", "warning", "error", "error"]


def test_one_row_beside_thousands_can_be_seen() -> None:
    tallest, single = chart([0.0] * 10_000 + [9.0]).bars
    assert single.height >= 2
    assert single.zone == "error"
    assert tallest.title.endswith("10,000 rows")


def test_equal_scores_make_one_bar() -> None:
    assert [bar.title for bar in chart([2.0, 2.0], None, None).bars] == ["2.00 to 2.06: 2 rows"]


@pytest.mark.parametrize(("error", "warning"), [(6.42, 4.1), (0.1, 0.05), (100, 99), (4.0, 4.0), (1.0, 5.0)])
def test_labels_keep_apart_and_inside(error: float, warning: float) -> None:
    marks = chart([0.0, 50.0], error, warning).marks
    assert [mark.severity for mark in marks] == ["error", "warning"]
    assert abs(marks[0].label_y - marks[1].label_y) >= 14
    for mark in marks:
        width = 7 * len(mark.label)
        left = mark.label_x - (width if mark.anchor == "end" else 0)
        assert left >= -6
        assert left + width <= 340 + 6


def test_axis_labels_are_round_numbers() -> None:
    found = chart([float(n % 17) - 8 for n in range(1000)])
    assert [tick.label for tick in found.x_ticks] == ["-5", "0", "5"]
    assert found.y_ticks[0].label == "0"
    assert all(set(tick.label) <= set("0125,") for tick in found.y_ticks)


def test_no_score_no_picture() -> None:
    assert draw([math.nan], HEAD, width=340, height=260, bins=34) is None
