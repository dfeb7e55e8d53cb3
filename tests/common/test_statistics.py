"""The statistics against scipy's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import binomtest, spearmanr

from sqsd_lint.common.statistics import largest_of, permutation_p, spearman, wilson


@given(st.integers(0, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson(case: tuple[int, int]) -> None:
    hits, trials = case
    if trials == 0:
        assert wilson(hits, trials) == (0.0, 1.0)
        return
    expected = binomtest(hits, trials).proportion_ci(method="wilson")
    assert wilson(hits, trials) == pytest.approx((expected.low, expected.high), abs=1e-6)


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=40))
def test_spearman_with_ties(pairs: list[tuple[int, int]]) -> None:
    x, y = ([float(p[k]) for p in pairs] for k in (0, 1))
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert math.isnan(spearman(x, y))
    else:
        assert spearman(x, y) == pytest.approx(spearmanr(x, y)[0], abs=1e-12)


@pytest.mark.parametrize(
    ("values", "p"),
    [([1, 2, 3, 4, 5], 1 / 120), ([5, 4, 3, 2, 1], 1.0), ([1, 2, 3, 5, 4], 5 / 120), ([2, 2, 2], None)],
)
def test_a_permutation_test_counts_every_order(values: list[float], p: float | None) -> None:
    assert permutation_p(values) == (p if p is None else pytest.approx(p))


def test_a_permutation_test_agrees_with_scipy() -> None:
    values = [0.1, 0.4, 0.2, 0.9, 0.5, 0.7]
    place = list(range(len(values)))
    found = stats.permutation_test(
        (values,),
        lambda own: stats.spearmanr(place, own).statistic,
        permutation_type="pairings",
        alternative="greater",
        n_resamples=10_000,
    )
    assert permutation_p(values) == pytest.approx(found.pvalue)


def test_too_many_orders_are_refused() -> None:
    with pytest.raises(ValueError, match="too many orders"):
        permutation_p([float(i) for i in range(9)])


@given(st.floats(-6, 30), st.integers(1, 1000))
def test_the_largest_of_many_by_the_union_bound(normal_score: float, count: int) -> None:
    found = largest_of(normal_score, count)
    expected = float(stats.norm.isf(min(1.0, count * stats.norm.sf(normal_score))))
    assert found == pytest.approx(expected, abs=1e-6)
    assert found <= normal_score + 1e-9


@given(st.floats(30, 1000), st.integers(1, 1000))
def test_the_largest_of_many_where_floats_end(normal_score: float, count: int) -> None:
    found = largest_of(normal_score, count)
    assert normal_score - math.log(count) / normal_score - 0.1 <= found <= normal_score + 1e-9


@given(st.floats(-3, 60), st.integers(2, 50))
def test_more_parts_make_the_same_score_less_and_a_higher_one_more(score: float, count: int) -> None:
    assert largest_of(score, count + 1) <= largest_of(score, count)
    assert largest_of(score + 0.01, count) >= largest_of(score, count)
