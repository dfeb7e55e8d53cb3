"""Location and scale by length against the distributions that rows are drawn from."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.common.length_curve import LengthCurve, fit_length_curve, interpolate

CURVE = LengthCurve((1.0, 4.0, 64.0), (2.0, 0.0, -4.0), (8.0, 2.0, 1.0))


def test_scores_are_compared_at_their_length() -> None:
    assert CURVE.standardize(10.0, 1) == 1.0
    assert CURVE.standardize(10.0, 2) == (10.0 - 1.0) / 5.0, "half way in doublings"
    assert CURVE.standardize(-3.0, 4096) == 1.0, "as at the last knot"
    assert LengthCurve().standardize(3.5, 7) == 3.5


@given(st.floats(1, 1e4), st.floats(-50, 50))
def test_a_line_of_equal_risk_goes_through_its_knots(tokens: float, risk: float) -> None:
    knots, scores = zip(*CURVE.scores_at(risk), strict=True)
    at = interpolate(knots, scores, tokens)
    own = CURVE.location_at(tokens) + CURVE.scale_at(tokens) * risk
    assert at == pytest.approx(own, abs=1e-9)


def test_the_fit_finds_a_spread_that_falls_with_length() -> None:
    draw = random.Random(0)
    lengths = [2 ** draw.uniform(0, 8) for _ in range(4000)]
    scores = [draw.gauss(1.0, 8 / length**0.5) for length in lengths]
    curve = fit_length_curve(scores, [round(t) for t in lengths], ["one"] * 4000)
    for tokens in (4, 16, 64):
        assert curve.location_at(tokens) == pytest.approx(1.0, abs=0.6)
        assert curve.scale_at(tokens) == pytest.approx(8 / tokens**0.5, rel=0.3)


@pytest.mark.parametrize(
    "columns",
    [((1.0,), (0.0,), (0.0,)), ((2.0, 1.0), (0.0, 0.0), (1.0, 1.0)), ((1.0,), (0.0, 1.0), (1.0,))],
    ids=["no scale", "not ascending", "not of one length"],
)
def test_a_curve_that_makes_no_sense_is_refused(columns: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(ValueError, match="length curve"):
        LengthCurve(*columns)
