"""Rank correlations and shares with their intervals, without a statistics library at run time.

numpy is imported where a statistic is computed. All draws of a bootstrap are computed at once, and none of
them is sorted again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DRAWS = 2000
_SEED = 0
_CELLS = 1 << 22  # draws times elements that are held at once
MOST_PERMUTED = 8
_LEAST = 0.9  # of the draws must vary on both sides, or there is nothing to say


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Return Spearman's rank correlation, in [-1, 1]; NaN where one side does not vary."""
    import numpy as np

    return float(correlations(x, y, np.ones((1, len(x))))[0])


def bootstrap(
    x: Sequence[float],
    y: Sequence[float],
    *,
    given: Sequence[float] | None = None,
    groups: Sequence[int] | None = None,
) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of Spearman's correlation of x and y, over `DRAWS` resamples.

    Args:
        given: the partial correlation, with the ranks of this held fixed.
        groups: what is drawn whole, by number; None draws element by element.

    Returns:
        None where fewer than two groups vary, or the correlation is undefined in a tenth of the draws.
    """
    import numpy as np

    _, at = np.unique(range(len(x)) if groups is None else groups, return_inverse=True)
    units = int(at.max()) + 1 if len(x) else 0
    if units < 2:
        return None
    generator = np.random.default_rng(_SEED)
    step, parts = max(1, _CELLS // len(x)), []
    for begin in range(0, DRAWS, step):
        draws = min(step, DRAWS - begin)
        # How often each unit is drawn when as many are drawn as there are.
        counts = generator.multinomial(units, np.full(units, 1 / units), size=draws).astype(np.float64)
        parts.append(correlations(x, y, counts[:, at], given=given))
    found = np.concatenate(parts)
    found = found[np.isfinite(found)]
    if len(found) < _LEAST * DRAWS:
        return None
    low, high = np.quantile(found, (0.025, 0.975)).tolist()
    return low, high


def permutation_p(values: Sequence[float]) -> float | None:
    """Return how often a random order of the values ascends as well as theirs, by Spearman; exact, one-sided.

    Args:
        values: one number for each unit that could have been exchanged, at most eight; the mean of a window's
            runs, say, since runs on the same rows are no units of their own.

    Returns:
        None where the values do not vary.
    """
    import numpy as np

    if len(values) > MOST_PERMUTED:
        raise ValueError(f"{len(values)} values have too many orders; at most {MOST_PERMUTED} are tried")
    if len(set(values)) < 2:
        return None
    place = range(len(values))
    ranks = _ranks(values, np.ones((1, len(values))))[0]
    orders = np.array(list(permutations(ranks.tolist())))
    # Spearman ascends with this sum: places and ranks stay what they are.
    reached = orders @ np.arange(len(place)) >= ranks @ np.arange(len(place)) - 1e-9
    return float(reached.mean())


def correlations(
    x: Sequence[float], y: Sequence[float], counts: Floats, *, given: Sequence[float] | None = None
) -> Floats:
    """Return Spearman's correlation in every resample, [draws] float64; NaN where a side does not vary.

    Args:
        counts: [draws, n] float64, how often a resample holds each element.
        given: the partial correlation, with the ranks of this held fixed.
    """
    a, b = _ranks(x, counts), _ranks(y, counts)
    r = _pearson(a, b, counts)
    if given is None:
        return r
    c = _ranks(given, counts)
    held: Floats = partial(r, _pearson(a, c, counts), _pearson(b, c, counts))
    return held


def partial(xy: Any, xz: Any, yz: Any) -> Any:
    """Return the correlation of x and y with z held fixed, from those of the pairs: numbers or arrays.

    NaN where z settles x or y.
    """
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        held = np.sqrt(np.maximum((1 - np.square(xz)) * (1 - np.square(yz)), 0))
        return np.divide(xy - xz * yz, held)


def wilson(hits: float, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the Wilson score interval of a share, 95 % by default; hits may be a mean over repeats."""
    if trials == 0:
        return 0.0, 1.0
    share = hits / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def largest_of(normal_score: float, count: int) -> float:
    """Return the normal score of the largest of so many: a union bound, which holds however they depend.

    The chance that one of `count` is as high is at most `count` times the chance that a single one is.

    Returns:
        Minus infinity where that bound is 1 and says nothing.
    """
    chance = count * math.erfc(normal_score / math.sqrt(2)) / 2
    if chance >= 1:
        return -math.inf
    if chance < 1e-280:  # where floats end, the tail is that of exp(-z**2 / 2)
        return math.sqrt(normal_score**2 - 2 * math.log(count))
    return min(normal_score, -NormalDist().inv_cdf(chance))  # rounding must not raise it


def _ranks(values: Sequence[float], counts: Floats) -> Floats:
    """Return the ranks of the elements within each resample, ties shared, [draws, n].

    An element's rank follows from how many drawn ones lie below it: nothing is sorted but the values, once.
    """
    import numpy as np

    order = np.argsort(np.asarray(values, dtype=np.float64), kind="stable")
    _, first, at = np.unique(np.asarray(values)[order], return_index=True, return_inverse=True)
    tied = np.add.reduceat(counts[:, order], first, axis=1)  # [draws, distinct values]
    place = np.empty(len(order), dtype=np.intp)
    place[order] = at
    ranks: Floats = (np.cumsum(tied, axis=1) - tied / 2 + 0.5)[:, place]
    return ranks


def _pearson(a: Floats, b: Floats, counts: Floats) -> Floats:
    import numpy as np

    total = counts.sum(1, keepdims=True)
    a = a - (a * counts).sum(1, keepdims=True) / total
    b = b - (b * counts).sum(1, keepdims=True) / total
    top = (a * b * counts).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        r: Floats = top / np.sqrt((a * a * counts).sum(1) * (b * b * counts).sum(1))
    return np.clip(r, -1, 1)
