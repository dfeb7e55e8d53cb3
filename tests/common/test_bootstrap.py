"""Resampled correlations against scipy's of the rows written out."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from sqsd_lint.common.statistics import bootstrap, correlations

COLUMNS = st.integers(4, 15).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(-4, 4).map(float), min_size=n, max_size=n)] * 3)
)


@settings(max_examples=60)
@given(COLUMNS, st.integers(0, 9))
def test_a_resample_is_the_rows_written_out(columns: tuple[list[float], ...], seed: int) -> None:
    x, y, z = columns
    drawn = numpy.random.default_rng(seed).integers(len(x), size=(5, len(x)))
    counts = numpy.stack([numpy.bincount(row, minlength=len(x)) for row in drawn]).astype(numpy.float64)
    raw = correlations(x, y, counts).tolist()
    held = correlations(x, y, counts, given=z).tolist()
    for value, partial, row in zip(raw, held, drawn, strict=True):
        a, b, c = (numpy.array(each)[row] for each in columns)
        if len(set(a)) == 1 or len(set(b)) == 1:
            assert math.isnan(value)
            continue
        assert value == pytest.approx(spearmanr(a, b)[0], abs=1e-9)
        expected = residuals(a, b, c)
        if math.isfinite(expected):
            assert partial == pytest.approx(expected, abs=1e-6)


def residuals(x: Any, y: Any, z: Any) -> float:
    """Partial Spearman in its other form: what of the ranks a line through z's ranks leaves, correlated."""
    left = []
    design = numpy.stack([numpy.ones(len(z)), rankdata(z)], axis=1)
    for each in (x, y):
        ranks = rankdata(each)
        left.append(ranks - design @ numpy.linalg.lstsq(design, ranks, rcond=None)[0])
    if min(numpy.abs(part).max() for part in left) < 1e-9 or len(set(z)) == 1:
        return math.nan
    return float(numpy.corrcoef(*left)[0, 1])


def test_the_interval_covers_the_truth_and_is_the_same_every_time() -> None:
    generator = numpy.random.default_rng(0)
    truth = 6 / math.pi * math.asin(0.6 / 2)  # of a normal pair with correlation 0.6
    covered = 0
    for _ in range(60):
        x = generator.normal(size=80)
        y = 0.6 * x + 0.8 * generator.normal(size=80)
        interval = bootstrap(x.tolist(), y.tolist())
        assert interval is not None
        assert interval == bootstrap(x.tolist(), y.tolist())
        covered += interval[0] <= truth <= interval[1]
    assert 50 <= covered <= 60


def test_groups_are_drawn_whole() -> None:
    """Copies of a row are no evidence: three seeds that agree leave the interval as wide as one."""
    x, y = [1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 3.0, 2.0, 5.0, 4.0]
    once = bootstrap(x, y, groups=[0, 1, 2, 3, 4])
    thrice = bootstrap(x * 3, y * 3, groups=[0, 1, 2, 3, 4] * 3)
    assert once is not None
    assert thrice == pytest.approx(once)


@pytest.mark.parametrize(
    ("x", "groups"), [([1.0, 1.0, 1.0, 1.0], None), ([1.0, 2.0, 3.0, 4.0], [0, 0, 0, 0])]
)
def test_what_does_not_vary_has_no_interval(x: list[float], groups: list[int] | None) -> None:
    assert bootstrap(x, [1.0, 2.0, 4.0, 3.0], groups=groups) is None
