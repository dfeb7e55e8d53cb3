"""The statistics against scipy's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, spearmanr

from sqsd_lint.common.statistics import spearman, wilson


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
