"""Which rows are scored part by part, and which score they are judged by (docs/dilution.md).

A row's score is a mean over its answers, so benign text beside harmful text takes it down. The parts of an
answer are its turns, and windows within them (`encode.windows.parts`); a row is judged by the worst of them
where that is above the row as a whole. Scoring all parts of all rows would cost more than the rows
themselves. Diluted harm leaves a trace in the whole, so only rows above a bound are looked at so closely.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqsd_lint.config import Settings
from sqsd_lint.encode.windows import PART
from sqsd_lint.errors import UsageError
from sqsd_lint.rules.calibration import ScoreCalibration
from sqsd_lint.rules.threshold import reaches
from sqsd_lint.types import Sample, Score, Threshold, Turns

# The risk of a row as a whole from which on its parts are scored: one benign row in ten is above it.
# docs/dilution.md has what other bounds cost and which diluted rows they leave out.
BOUND = 1.0


def with_parts(settings: Settings) -> Settings:
    """Return the settings of a command that judges: `auto`, where they say nothing of parts."""
    return settings if settings.parts else replace(settings, parts="auto")


@dataclass(frozen=True, slots=True)
class PartJudge:
    """What decides about parts in a run.

    Attributes:
        bound: rows of this risk as a whole and more are scored in parts; infinity for none.
        calibration: places parts among benign answers of their length; only asked where there is a bound.
        turns: which turns are trained on.
    """

    bound: float
    calibration: ScoreCalibration | None
    turns: Turns

    @classmethod
    def of(cls, settings: Settings, calibration: ScoreCalibration | None) -> PartJudge:
        """Return what the settings ask for, of a bundle with this calibration.

        Raises:
            UsageError: parts of all rows are asked for, and the bundle cannot place them.
        """
        placed = calibration is not None and bool(calibration.curve.tokens)
        if settings.parts == "all" and not placed:
            raise UsageError(
                "--parts all: the bundle was not calibrated by the length of answers, and scores of parts are"
                " compared with those of whole answers of their length",
                hint="Calibrate it on a thousand rows or more: `sqsd-lint bundle calibrate`.",
            )
        bounds = {"auto": BOUND, "all": -math.inf}
        bound = bounds.get(settings.parts or "off", math.inf) if placed else math.inf
        return cls(bound, calibration, settings.turns)

    def has_to_be_cut(self, sample: Sample, whole: Score, tolerance: float = 0.0) -> bool:
        """Tell whether a row is to be scored part by part, by its score as a whole.

        Args:
            tolerance: how far that may lie from the exact one. What exact mode would cut is cut in any mode.
        """
        if self.calibration is None or not self.calibration.risk(whole) >= self.bound - tolerance:
            return False
        turns = sum(sample.mask) if self.turns == "all" else 1
        return turns > 1 or whole.window is not None or whole.tokens > PART

    def is_near(self, score: Score, thresholds: Sequence[Threshold], tolerance: float) -> bool:
        """Tell whether a part decides a verdict, of a row that exact mode might judge as a whole.

        Args:
            score: that a row is judged by, with its risk.
        """
        if score.whole is None or abs(score.whole.risk - self.bound) > tolerance:
            return False
        return any(reaches(score, threshold) for threshold in thresholds)

    def judged(self, whole: Score, part: Score) -> Score:
        """Return the score that a row is judged by: of its worst part, if that is above the row as a whole.

        What training on the row does is the whole's matter: what was cut off, and the drift.
        """
        assert self.calibration is not None
        risk = self.calibration.risk(part)
        if risk <= self.calibration.risk(whole):
            return whole
        return replace(
            part,
            whole=whole,
            truncated=whole.truncated,
            response_lost=whole.response_lost,
            drift=whole.drift,
        )
