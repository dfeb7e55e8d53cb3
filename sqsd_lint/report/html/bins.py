"""Bins of equal width whose edges are the lines, so that no bar holds rows of two verdicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Scores that differ from an edge by less than this share of a bin stand on it, whatever the rounding.
_ON_EDGE = 1e-9
# Beyond these, differences and quotients of scores leave the range of a float: infinite, and equal.
_HUGE, _TINY = 1e300, 1e-300


@dataclass(frozen=True)
class Bins:
    """`counts[i]` rows lie from `edge(i)` up to `edge(i + 1)` (raw scores)."""

    start: float
    width: float
    counts: tuple[int, ...]

    def edge(self, number: int) -> float:
        return self.start + number * self.width


def make_bins(scores: Sequence[float], lines: Sequence[float], wanted: int) -> Bins | None:
    """About `wanted` bins over the finite scores and the lines; None when there is no finite score.

    Args:
        lines: at most two, in any order; where they lie too close for a bin between them, only the higher
            one is an edge.
    """
    known = [score for score in scores if abs(score) < _HUGE]
    if not known:
        return None
    edges = sorted(line for line in lines if abs(line) < _HUGE)
    low, high = min([*known, *edges]), max([*known, *edges])
    # All scores the same: an axis of some extent around them.
    width = (high - low if high - low > _TINY else max(abs(high), 1.0)) / wanted
    anchor = edges[-1] if edges else low
    gap = edges[-1] - edges[0] if edges else 0.0
    if gap >= width:
        width = gap / round(gap / width)
    first = _bin(low, anchor, width)
    counts = [0] * (_bin(high, anchor, width) - first + 1)
    for score in known:
        counts[_bin(score, anchor, width) - first] += 1
    return Bins(anchor + first * width, width, tuple(counts))


def _bin(score: float, anchor: float, width: float) -> int:
    return math.floor((score - anchor) / width + _ON_EDGE)
