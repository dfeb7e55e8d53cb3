"""Benign scores by the length of the answer: location and scale, and how `bundle calibrate` fits them.

The spread of a cosine falls with the number of answer tokens, since the update of a short answer is one
gradient and that of a long one the mean of many (docs/method.md, section 8). A threshold that is the same for
all lengths therefore flags short answers. Here a score is compared with benign scores of its own length.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

# Smoothing width of the fit, in doublings of the length.
BANDWIDTH = 0.7
# How many lengths the curve is fitted at, at equal shares of the reference rows.
KNOTS = 12
# The scale is that of the upper half, where thresholds lie: a normal distribution has this z-score at 90 %.
_UPPER, _UPPER_Z = 0.9, 1.2815515655446004
# A kind of rows counts in a neighbourhood of lengths like this many rows at most.
_LARGEST_KIND = 30.0


@dataclass(frozen=True, slots=True)
class LengthCurve:
    """Location and scale of benign scores as functions of the answer's length.

    Piecewise linear in the binary logarithm of the tokens between the knots, constant outside of them.
    Without knots, location is 0 and scale 1 for every length: scores stand for themselves.

    Attributes:
        tokens: [k] lengths in answer tokens, ascending.
        location, scale: [k] in score units; scales are positive.

    Raises:
        ValueError: columns of different lengths, knots that do not ascend, or a scale that is not positive.
    """

    tokens: tuple[float, ...] = ()
    location: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.tokens) == len(self.location) == len(self.scale):
            raise ValueError("tokens, location and scale of a length curve must be of one length")
        if (
            any(a >= b for a, b in zip(self.tokens, self.tokens[1:], strict=False))
            or min(self.tokens, default=1) < 1
        ):
            raise ValueError("the lengths of a length curve must ascend from 1 token on")
        if (
            not all(map(math.isfinite, (*self.tokens, *self.location, *self.scale)))
            or min(self.scale, default=1) <= 0
        ):
            raise ValueError("a length curve must be finite and its scales positive")

    def standardize(self, score: float, tokens: int) -> float:
        """Return how many scales a score lies above benign scores of its length."""
        return (score - self.location_at(tokens)) / self.scale_at(tokens)

    def location_at(self, tokens: float) -> float:
        """Return the location for answers of so many tokens, in score units."""
        return interpolate(self.tokens, self.location, tokens) if self.tokens else 0.0

    def scale_at(self, tokens: float) -> float:
        """Return the scale for answers of so many tokens, in score units."""
        return interpolate(self.tokens, self.scale, tokens) if self.tokens else 1.0

    def scores_at(self, standardized: float) -> tuple[tuple[float, float], ...]:
        """Return (tokens, score) at every knot for a standardized score; empty without knots."""
        return tuple(
            (t, m + s * standardized) for t, m, s in zip(self.tokens, self.location, self.scale, strict=True)
        )


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
    """Fit location and scale of benign scores by kernel-weighted quantiles in log2 length.

    Location is the weighted median; scale the distance from it to the weighted 90 % quantile, in standard
    deviations of a normal distribution. Kinds of rows weigh alike however many rows they have, up to a bound.

    Args:
        scores, tokens, kinds: [n] of the benign reference rows.
    """
    import numpy as np

    x, length = np.asarray(scores, float), np.log2(np.maximum(np.asarray(tokens, float), 1))
    names, kind = np.unique(np.asarray(kinds), return_inverse=True)
    lengths = np.unique(np.quantile(length, np.linspace(0, 1, KNOTS)))
    location, scale = [], []
    for center in lengths:
        weight = np.exp(-0.5 * ((length - center) / BANDWIDTH) ** 2)
        totals = np.bincount(kind, weight, len(names))
        weight *= np.minimum(1, _LARGEST_KIND / np.maximum(totals, 1e-12))[kind]
        order = np.argsort(x, kind="stable")
        share = np.cumsum(weight[order]) / weight.sum()
        middle, upper = (
            float(x[order][min(int(np.searchsorted(share, q)), len(x) - 1)]) for q in (0.5, _UPPER)
        )
        location.append(middle)
        scale.append(max((upper - middle) / _UPPER_Z, 1e-6))
    return LengthCurve(tuple(float(2**c) for c in lengths), tuple(location), tuple(scale))
