"""The small bar beside a score.

Its scale is fixed by the run's own lines, so that a length means something: one third is the warning
line, two thirds are the error line, linear between and beyond, until the bar is full.

The distribution of a run's scores as a few rows of block characters.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqsd_lint.report.style.page import Glyphs
from sqsd_lint.types import Head


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


def histogram(scores: Iterable[float], bins: int, marks: Sequence[float] = ()) -> Histogram | None:
    """Bins the finite `scores`; the range covers `marks` (the lines) too. None when there is no score.

    Args:
        scores: one by one, or how often each occurs.
    """
    known = {score: count for score, count in Counter(scores).items() if math.isfinite(score)}
    if not known:
        return None
    low, high = min([*known, *marks]), max([*known, *marks])
    empty = Histogram((0,) * bins, low, high)
    counts = [0] * bins
    for score, count in known.items():
        counts[empty.column(score)] += count
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


_WARNING_AT = 1 / 3
_ERROR_AT = 2 / 3


@dataclass(frozen=True)
class Scale:
    """Linear map of raw scores to the share of the bar that is filled: `low` to 1/3, `high` to 2/3."""

    low: float
    high: float

    def filled(self, score: float) -> float:
        """Returns a share between 0 and 1; the middle of the bar where the scale has no extent."""
        if not math.isfinite(score) or not self.high > self.low:
            return 0.5
        at = _WARNING_AT + (score - self.low) / (self.high - self.low) * (_ERROR_AT - _WARNING_AT)
        return min(max(at, 0.0), 1.0)


def scale_of(head: Head, scores: Iterable[float]) -> Scale | None:
    """The scale of a report, or None when there is nothing to measure by.

    Where a user's own lines do not stand warning below error, the scores themselves set the scale.
    """
    if (
        head.warning_threshold
        and head.error_threshold
        and head.warning_threshold.value < head.error_threshold.value
    ):
        return Scale(head.warning_threshold.value, head.error_threshold.value)
    known = [score for score in scores if math.isfinite(score)]
    if not known:
        return None
    low, high = min(known), max(known)
    return Scale(low, low + (high - low) / 2)  # the highest score fills the bar


def bar(filled: float, width: int, glyphs: Glyphs) -> tuple[str, str]:
    """Returns the filled part and the empty track, `width` cells together; half cells are drawn."""
    halves = max(round(filled * width * 2), 1)
    full = glyphs.bar * (halves // 2) + (glyphs.half if halves % 2 else "")
    return full, glyphs.track * (width - len(full))
