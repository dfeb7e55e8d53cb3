"""Percentiles of benign scores by the length of the answer, and how `bundle calibrate` fits them.

The spread of a cosine falls with the number of answer tokens, since the update of a short answer is one
gradient and that of a long one the mean of many (docs/method.md, section 8), and so do its extremes. A
threshold that is the same for all lengths therefore flags short answers and misses long ones. Here a score is
placed among benign scores of its own length, and its place is written as a normal score: 0 for the median,
2.33 for one benign row in a hundred, 3.09 for one in a thousand. docs/verdict.md compares it with other ways.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# The percentiles whose scores are known at every knot, as they are written.
PERCENTILES = ("50", "90", "99", "99.9")
NORMAL_SCORES = tuple(NormalDist().inv_cdf(float(each) / 100) for each in PERCENTILES)

# Smoothing width of the fit, in doublings of the length.
BANDWIDTH = 0.7
# How many lengths location and scale are fitted at, at equal shares of the reference rows.
KNOTS = 12
# The scale is that of the upper half, where thresholds lie: a normal distribution has this z-score at 90 %.
_UPPER, _UPPER_Z = 0.9, NORMAL_SCORES[1]
# A kind of rows counts in a neighbourhood of lengths like this many rows at most.
_LARGEST_KIND = 30.0

# Extremes are taken from bands of lengths, at most so many, of so many rows: they resolve one in a thousand.
BAND_ROWS, MOST_BANDS = 1000, 3
# The least distance between percentiles, in scales: where benign scores are tied, risks must still ascend.
_LEAST_STEP = 0.05

# No kind of benign rows may reach a percentile's threshold more often than this multiple of its rate, or than
# one row in a hundred: a rate that holds for all kinds together can be the dilution of one kind by others.
KIND_FACTOR, KIND_RATE = 5, Fraction(1, 100)


@dataclass(frozen=True, slots=True)
class LengthCurve:
    """Scores at the percentiles of benign rows, as functions of the answer's length.

    Piecewise linear in the binary logarithm of the tokens between the knots, constant outside of them.
    Without knots, scores stand for themselves.

    Attributes:
        tokens: [k] lengths in answer tokens, ascending.
        scores: [len(PERCENTILES)][k] in score units, ascending from percentile to percentile at every knot.

    Raises:
        ValueError: columns of different lengths, or knots or percentiles that do not ascend.
    """

    tokens: tuple[float, ...] = ()
    scores: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.tokens and not self.scores:
            return
        if len(self.scores) != len(PERCENTILES) or {len(each) for each in self.scores} != {len(self.tokens)}:
            raise ValueError(
                f"a length curve has a score for each of {len(PERCENTILES)} percentiles at every length"
            )
        if not all(map(math.isfinite, (*self.tokens, *(v for each in self.scores for v in each)))):
            raise ValueError("a length curve must be finite")
        if min(self.tokens) < 1 or not _ascend(self.tokens):
            raise ValueError("the lengths of a length curve must ascend from 1 token on")
        if not all(_ascend(ladder) for ladder in zip(*self.scores, strict=True)):
            raise ValueError("the percentiles of a length curve must ascend at every length")

    def normal_score(self, score: float, tokens: int) -> float:
        """Return a score's place among benign scores of its length, as a normal score.

        Linear between percentiles; below the lowest and above the highest as in the segment beside it, which
        keeps the order and claims no rate.
        """
        if not self.tokens:
            return score
        ladder = [interpolate(self.tokens, each, tokens) for each in self.scores]
        right = min(max(bisect_right(ladder, score), 1), len(ladder) - 1)
        share = (score - ladder[right - 1]) / (ladder[right] - ladder[right - 1])
        low, high = NORMAL_SCORES[right - 1 : right + 1]
        return low + share * (high - low)

    def score_at(self, percentile: str, tokens: float) -> float:
        """Return the score of one of `PERCENTILES` for answers of so many tokens, in score units."""
        return interpolate(self.tokens, self.scores[PERCENTILES.index(percentile)], tokens)

    def rounded(self) -> LengthCurve:
        """Return the curve in four significant digits, scores rounded up: thresholds lie above their row."""
        tokens = tuple(float(f"{each:.4g}") for each in self.tokens)
        ladders: list[list[float]] = []
        for ladder in zip(*self.scores, strict=True):
            rounded: list[float] = []
            for score in ladder:
                rounded.append(_rounded_up(max([score, *rounded[-1:]])))
            ladders.append(rounded)
        return LengthCurve(tokens, tuple(zip(*ladders, strict=True)))


def interpolate(tokens: Sequence[float], values: Sequence[float], at: float) -> float:
    """Return the value at a length: linear in log2 of the tokens, constant outside of the knots."""
    if at <= tokens[0]:
        return values[0]
    if at >= tokens[-1]:
        return values[-1]
    right = bisect_right(tokens, at)
    low, high = math.log2(tokens[right - 1]), math.log2(tokens[right])
    share = (math.log2(at) - low) / (high - low)
    return values[right - 1] + share * (values[right] - values[right - 1])


def fit_length_curve(scores: Sequence[float], tokens: Sequence[int], kinds: Sequence[str]) -> LengthCurve:
    """Fit percentiles of benign scores by length: smooth location and scale, then conformal ranks in bands.

    Location and scale are kernel-weighted quantiles in log2 length, in which kinds of rows weigh alike up to
    a bound. Standardized by them, the rows of each band of lengths give the percentiles (`conformal_score`,
    for all kinds and for each); between the middles of bands these are interpolated.

    Args:
        scores, tokens, kinds: [n] of the benign reference rows.
    """
    import numpy as np

    x, length = np.asarray(scores, float), np.log2(np.maximum(np.asarray(tokens, float), 1))
    names, kind = np.unique(np.asarray(kinds), return_inverse=True)
    knots = np.unique(np.quantile(length, np.linspace(0, 1, KNOTS)))
    location, scale = fit_location_and_scale(x, length, kind, len(names), knots)
    standardized = (x - np.interp(length, knots, location)) / np.interp(length, knots, scale)

    bands = bands_of(len(x))
    edges = np.quantile(length, np.linspace(0, 1, bands + 1)[1:-1])
    band = np.digitize(length, edges)
    middles, ladders = [], []
    for each in range(bands):
        inside = band == each
        if inside.any():  # bands of tied lengths may be empty
            by_kind = [sorted(standardized[inside & (kind == k)].tolist()) for k in range(len(names))]
            middles.append(float(np.median(length[inside])))
            ladders.append(_ladder([own for own in by_kind if own]))
    rungs = [np.interp(knots, middles, [ladder[p] for ladder in ladders]) for p in range(len(PERCENTILES))]
    columns = (tuple((location + scale * rung).tolist()) for rung in rungs)
    return LengthCurve(tuple(float(2**knot) for knot in knots), tuple(columns))


def bands_of(rows: int) -> int:
    """Return in how many bands of lengths the extremes of so many benign rows are taken."""
    return min(max(rows // BAND_ROWS, 1), MOST_BANDS)


def kind_rate(percentile: float | str) -> Fraction:
    """Return how often a single kind of benign rows may reach the threshold of a percentile."""
    return min(max(KIND_FACTOR * (1 - proportion(percentile)), KIND_RATE), Fraction(1, 2))


def resolves(rows: int, rate: Fraction) -> bool:
    """Tell whether so many rows can bound a rate: a new row exceeds all of them with that chance at most."""
    return (rows + 1) * rate >= 1


def order_statistic(ascending: Sequence[float], rate: Fraction) -> float:
    """Return the k-th smallest of n, k = ceil((n + 1)(1 - rate)); the largest where n is too small.

    A new exchangeable row lies above it with a probability of at most the rate (split conformal prediction).
    """
    rank = max(math.ceil((len(ascending) + 1) * (1 - rate)), 1)
    return ascending[min(rank, len(ascending)) - 1]


def conformal_score(kinds: Iterable[Sequence[float]], percentile: float | str) -> float:
    """Return the score that benign rows reach at a percentile's rate, and no kind of them at `kind_rate`.

    A kind with too few rows to bound its own rate has no say.

    Args:
        kinds: ascending scores of each kind.
    """
    own = [each for each in kinds if each]
    pooled = sorted(score for each in own for score in each)
    rate = kind_rate(percentile)
    bounds = [order_statistic(each, rate) for each in own if resolves(len(each), rate)]
    return max([order_statistic(pooled, 1 - proportion(percentile)), *bounds])


def proportion(percentile: float | str) -> Fraction:
    """Return a percentile as a fraction, exact for the decimal as written: floats put ranks off by one."""
    return Fraction(str(percentile)) / 100


def fit_location_and_scale(
    x: Floats, length: Floats, kind: NDArray[np.intp], kinds: int, knots: Floats
) -> tuple[Floats, Floats]:
    """Return weighted medians at every knot, and the scale of the rows above them."""
    import numpy as np

    order = np.argsort(x, kind="stable")
    location, scale = [], []
    for knot in knots:
        weight = np.exp(-0.5 * ((length - knot) / BANDWIDTH) ** 2)
        totals = np.bincount(kind, weight, kinds)
        weight *= np.minimum(1, _LARGEST_KIND / np.maximum(totals, 1e-12))[kind]
        share = np.cumsum(weight[order]) / weight.sum()
        middle, upper = (
            float(x[order][min(int(np.searchsorted(share, q)), len(x) - 1)]) for q in (0.5, _UPPER)
        )
        location.append(middle)
        scale.append(max((upper - middle) / _UPPER_Z, 1e-6))
    return np.asarray(location), np.asarray(scale)


def _ladder(kinds: Sequence[Sequence[float]]) -> list[float]:
    """Return the scores of `PERCENTILES`, ascending by `_LEAST_STEP` at least."""
    pooled = sorted(score for each in kinds for score in each)
    ladder = [order_statistic(pooled, Fraction(1, 2))]
    for percentile in PERCENTILES[1:]:
        ladder.append(max(conformal_score(kinds, percentile), ladder[-1] + _LEAST_STEP))
    return ladder


def _ascend(values: Sequence[float]) -> bool:
    return all(a < b for a, b in pairwise(values))


def _rounded_up(value: float) -> float:
    """Return the next number of four significant digits that is greater."""
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 3) if value else 1e-6
    # The small term: of a number that has four digits already, the quotient may lie just below a whole one.
    return float(f"{(math.floor(value / unit + 1e-6) + 1) * unit:.6g}")
