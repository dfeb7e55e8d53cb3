"""Which rows lie too near a line for a fast score to decide."""

from __future__ import annotations

from collections.abc import Iterable

from sqsd_lint.types import Line


def near_line(score: float, lines: Iterable[Line | None], tolerance: float) -> bool:
    """Whether another device or dtype could put the score on the other side of one of the lines.

    Such rows are scored again in exact mode before they are judged. A score that is not a number is
    near no line.

    Args:
        tolerance: the calibration's, in score units.
    """
    return any(line is not None and abs(score - line.value) <= tolerance for line in lines)
