"""The distribution of a run's scores as a few rows of block characters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqsd_lint.report.page import Glyphs


@dataclass(frozen=True)
class Histogram:
    """Counts per bin of equal width between `low` and `high` (raw scores)."""

    counts: tuple[int, ...]
    low: float
    high: float

    def column(self, score: float) -> int:
        """The bin that `score` falls into; outside the range: the nearest."""
        if self.high <= self.low:
            return 0
        at = int((score - self.low) / (self.high - self.low) * len(self.counts))
        return min(max(at, 0), len(self.counts) - 1)

    def start(self, column: int) -> float:
        """The lowest score of a bin."""
        return self.low + (self.high - self.low) * column / len(self.counts)


def histogram(scores: Sequence[float], bins: int, marks: Sequence[float] = ()) -> Histogram | None:
    """Bins the finite `scores`; the range covers `marks` (the lines) too. None when there is no score."""
    known = [score for score in scores if math.isfinite(score)]
    if not known:
        return None
    low, high = min([*known, *marks]), max([*known, *marks])
    empty = Histogram((0,) * bins, low, high)
    counts = [0] * bins
    for score in known:
        counts[empty.column(score)] += 1
    return Histogram(tuple(counts), low, high)


def rows(counts: Sequence[int], height: int, glyphs: Glyphs) -> list[str]:
    """Draws the bins as `height` rows, the top one first; whatever a bin holds shows at least as a trace."""
    steps = len(glyphs.levels)
    tallest = max(counts, default=0) or 1
    levels = [max(round(count / tallest * height * steps), 1) if count else 0 for count in counts]
    drawn = []
    for row in reversed(range(height)):
        parts = (min(max(level - row * steps, 0), steps) for level in levels)
        drawn.append("".join(glyphs.levels[part - 1] if part else " " for part in parts))
    return drawn
