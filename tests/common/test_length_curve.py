"""Percentiles by length against the distributions that rows are drawn from, and against their own promise."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.common.length_curve import (
    NORMAL_SCORES,
    LengthCurve,
    bands_of,
    conformal_score,
    fit_length_curve,
    order_statistic,
)

CURVE = LengthCurve(
    (1.0, 4.0, 64.0), ((2.0, 0.0, -4.0), (10.0, 2.0, -3.0), (18.0, 6.0, -2.0), (26.0, 8.0, -1.0))
)


def drawn(rows: int, seed: int = 0) -> tuple[list[float], list[int], list[str]]:
    """Return scores, lengths and kinds of rows whose spread falls with the square root of the length."""
    draw = random.Random(seed)
    lengths = [max(round(2 ** draw.uniform(0, 9)), 1) for _ in range(rows)]
    kinds = [draw.choice(["many", "many", "many", "few"]) for _ in range(rows)]
    wide = {"many": 8.0, "few": 12.0}
    scores = [draw.gauss(1.0, wide[k] / n**0.5) for n, k in zip(lengths, kinds, strict=True)]
    return scores, lengths, kinds


def test_scores_are_placed_at_their_length() -> None:
    assert CURVE.normal_score(2.0, 1) == NORMAL_SCORES[0] == 0
    assert CURVE.normal_score(18.0, 1) == NORMAL_SCORES[2]
    assert CURVE.normal_score(12.0, 2) == NORMAL_SCORES[2], "half way in doublings"
    assert CURVE.normal_score(-1.0, 4096) == NORMAL_SCORES[3], "as at the last knot"
    assert CURVE.score_at("99", 2) == 12.0
    assert LengthCurve().normal_score(3.5, 7) == 3.5


@given(st.floats(1, 1e4), st.floats(-100, 100), st.floats(0.01, 50))
def test_a_higher_score_is_a_higher_risk(tokens: float, score: float, more: float) -> None:
    assert CURVE.normal_score(score, round(tokens)) < CURVE.normal_score(score + more, round(tokens))


def test_risks_are_normal_scores_at_every_length() -> None:
    curve = fit_length_curve(*drawn(6000))
    scores, lengths, kinds = drawn(20_000, seed=1)
    for low, high in ((1, 8), (9, 64), (65, 512)):
        risks = [curve.normal_score(s, n) for s, n in zip(scores, lengths, strict=True) if low <= n <= high]
        for percentile, value in ((0.9, NORMAL_SCORES[1]), (0.99, NORMAL_SCORES[2])):
            share = sum(risk >= value for risk in risks) / len(risks)
            assert share <= 1.6 * (1 - percentile), (low, percentile, share)
            assert share >= 0.2 * (1 - percentile), (low, percentile, share)
    few = [curve.normal_score(s, n) for s, n, k in zip(scores, lengths, kinds, strict=True) if k == "few"]
    assert sum(risk >= NORMAL_SCORES[2] for risk in few) / len(few) <= 0.05


def test_a_rounded_curve_puts_no_row_above_a_threshold_that_the_fit_put_below() -> None:
    scores, lengths, kinds = drawn(400)
    curve = fit_length_curve(scores, lengths, kinds)
    rounded = curve.rounded()
    for own, up in zip(curve.scores, rounded.scores, strict=True):
        assert all(a < b <= a + abs(a) * 0.0011 + 2e-6 for a, b in zip(own, up, strict=True))


def test_tied_scores_still_make_ascending_percentiles() -> None:
    curve = fit_length_curve([1.0] * 300, [3] * 300, ["one"] * 300).rounded()
    assert all(a < b for a, b in pairwise(each[0] for each in curve.scores))


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=60), st.sampled_from([0.5, 0.1, 0.02]))
def test_the_order_statistic_is_that_of_split_conformal_prediction(own: list[float], rate: float) -> None:
    own.sort()
    value = order_statistic(own, Fraction(str(rate)))
    above = sum(each > value for each in own)
    assert above <= max((len(own) + 1) * rate, 0)
    assert value in own


def test_no_kind_is_diluted_by_others() -> None:
    calm, noisy = [i / 1000 for i in range(1000)], [i / 10 for i in range(100)]
    assert sum(each > conformal_score([calm, noisy], 99) for each in noisy) <= 5
    assert sum(each > conformal_score([sorted(calm + noisy)], 99) for each in noisy) > 5


def test_extremes_come_from_bands_that_resolve_them() -> None:
    assert [bands_of(n) for n in (1, 999, 1999, 2000, 3000, 90_000)] == [1, 1, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("tokens", "scores"),
    [
        ((1.0,), ((0.0,), (1.0,), (2.0,))),
        ((2.0, 1.0), ((0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (3.0, 3.0))),
        ((1.0,), ((0.0,), (1.0,), (1.0,), (3.0,))),
        ((1.0,), ((0.0,), (1.0,), (2.0,), (float("inf"),))),
    ],
    ids=["a percentile is missing", "lengths do not ascend", "percentiles do not ascend", "not finite"],
)
def test_a_curve_that_makes_no_sense_is_refused(
    tokens: tuple[float, ...], scores: tuple[tuple[float, ...], ...]
) -> None:
    with pytest.raises(ValueError, match="length curve"):
        LengthCurve(tokens, scores)
