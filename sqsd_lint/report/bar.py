"""The small bar beside a score.

Its scale is fixed by the run's own lines, so that a length means something: one third is the warning
line, two thirds are the error line, linear between and beyond, until the bar is full.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from sqsd_lint.report.page import Glyphs
from sqsd_lint.types import Head

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
    if head.warning_line and head.error_line and head.warning_line.value < head.error_line.value:
        return Scale(head.warning_line.value, head.error_line.value)
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
