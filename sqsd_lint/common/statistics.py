"""The few statistics of the experiment, without a statistics library at run time.

Bootstrap intervals of Spearman's rank correlation: all draws at once, none of them sorted again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


DRAWS = 2000
_SEED = 0
_CELLS = 1 << 22  # draws times elements that are held at once
_LEAST = 0.9  # of the draws must vary on both sides, or there is nothing to say


def bootstrap(
    x: Sequence[float],
    y: Sequence[float],
    *,
    given: Sequence[float] | None = None,
    groups: Sequence[int] | None = None,
) -> tuple[float, float] | None:
    """The 95 % percentile interval of Spearman's correlation of x and y, over `DRAWS` resamples.

    Args:
        given: the partial correlation, with the ranks of this held fixed.
        groups: what is drawn whole, by number; None draws element by element.

    Returns:
        None where fewer than two groups vary, or the correlation is undefined in a tenth of the draws.
    """
    names = sorted(set(groups)) if groups is not None else []
    at = torch.tensor([names.index(g) for g in groups] if groups is not None else range(len(x)))
    units = int(at.max()) + 1 if len(x) else 0
    if units < 2:
        return None
    generator = torch.Generator().manual_seed(_SEED)
    step, parts = max(1, _CELLS // len(x)), []
    for begin in range(0, DRAWS, step):
        draws = min(step, DRAWS - begin)
        drawn = torch.randint(units, (draws, units), generator=generator)
        counts = torch.zeros(draws, units, dtype=torch.float64)
        counts.scatter_add_(1, drawn, torch.ones(draws, units, dtype=torch.float64))
        parts.append(correlations(x, y, counts[:, at], given=given))
    found = torch.cat(parts)
    found = found[found.isfinite()]
    if len(found) < _LEAST * DRAWS:
        return None
    low, high = torch.quantile(found, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


def correlations(
    x: Sequence[float], y: Sequence[float], counts: Tensor, *, given: Sequence[float] | None = None
) -> Tensor:
    """Spearman's correlation in every resample, [draws] float64; NaN where a side does not vary.

    Args:
        counts: [draws, n] float64, how often a resample holds each element.
    """
    a, b = _ranks(x, counts), _ranks(y, counts)
    r = _pearson(a, b, counts)
    if given is None:
        return r
    c = _ranks(given, counts)
    return partial(r, _pearson(a, c, counts), _pearson(b, c, counts))


def partial(xy: Tensor, xz: Tensor, yz: Tensor) -> Tensor:
    """The correlation of x and y with z held fixed, from those of the pairs."""
    return (xy - xz * yz) / ((1 - xz.square()) * (1 - yz.square())).clamp(min=0).sqrt()


def _ranks(values: Sequence[float], counts: Tensor) -> Tensor:
    """Ranks of the elements within each resample, ties shared, [draws, n].

    An element's rank follows from how many drawn ones lie below it: nothing is sorted but the values, once.
    """
    places = {value: place for place, value in enumerate(sorted(set(values)))}
    at = torch.tensor([places[value] for value in values])
    tied = torch.zeros(len(counts), len(places), dtype=torch.float64).index_add_(1, at, counts)
    return (tied.cumsum(1) - tied / 2 + 0.5)[:, at]


def _pearson(a: Tensor, b: Tensor, counts: Tensor) -> Tensor:
    total = counts.sum(1, keepdim=True)
    a = a - (a * counts).sum(1, keepdim=True) / total
    b = b - (b * counts).sum(1, keepdim=True) / total
    top = (a * b * counts).sum(1)
    return top / ((a * a * counts).sum(1) * (b * b * counts).sum(1)).sqrt()


def wilson(hits: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a share, 95 % by default."""
    if trials == 0:
        return 0.0, 1.0
    share = hits / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1, ties shared."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    found = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for i in order[start : end + 1]:
            found[i] = (start + end) / 2 + 1
        start = end + 1
    return found


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's rank correlation; NaN where one side does not vary."""
    a, b = ranks(x), ranks(y)
    mean = (len(a) + 1) / 2
    top = math.fsum((p - mean) * (q - mean) for p, q in zip(a, b, strict=True))
    bottom = math.sqrt(math.fsum((p - mean) ** 2 for p in a) * math.fsum((q - mean) ** 2 for q in b))
    return top / bottom if bottom else math.nan
