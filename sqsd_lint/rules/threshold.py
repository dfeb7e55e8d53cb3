"""Thresholds: as users write them, resolved to raw scores by a calibration, and compared with scores.

Whether a row is at or above a threshold is answered by `reaches` alone, and whether it is too near for a fast
score to decide, by `is_near`: nothing else in the package compares a row with a threshold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqsd_lint.errors import BundleError, UsageError
from sqsd_lint.rules.calibration import ScoreCalibration
from sqsd_lint.types import Score, Threshold


def reaches(score: Score, threshold: Threshold | None) -> bool:
    """Tell whether a row with this score is at or above a threshold; never where there is none."""
    return threshold is not None and score.risk >= threshold.value


def is_near(score: Score, thresholds: Iterable[Threshold | None], tolerance: float) -> bool:
    """Tell whether another device or dtype could put the score on the other side of one of the thresholds.

    Such rows are scored again in exact mode before they are judged. NaN is near none.

    Args:
        tolerance: the calibration's, in score units.
    """
    return any(each is not None and abs(score.risk - each.value) <= tolerance for each in thresholds)


def clear_percentile(
    value: float, percentile: float | None, thresholds: Iterable[Threshold | None]
) -> float | None:
    """Return a score's place among benign rows, None beside a threshold of that name that the score is under.

    A threshold `p99.9` may lie higher than the score that 99.9 % of benign rows are under, since no kind of
    them may reach it much more often: `p99.9` beside a row under it would read as a mistake.
    """
    for threshold in thresholds:
        if percentile is None or threshold is None or not value < threshold.value:
            continue
        spec = parse_threshold(threshold.spec)
        if spec.kind == "percentile" and percentile >= spec.number:
            return None
    return percentile


# As many digits as a float may print, and too few to overflow one or to round a percentile up to 100.
_SCORE = r"[+-]?[0-9]{1,17}(?:\.[0-9]{1,25})?(?:[eE][+-]?[0-9]{1,2})?"
_RANK = r"[+-]?[0-9]{1,17}(?:\.[0-9]{1,12})?"
_SPEC = re.compile(rf"(?P<raw>{_SCORE})|(?P<kind>[phz])(?P<number>{_RANK})")
_KINDS: dict[str, Literal["percentile", "harmful", "z"]] = {"p": "percentile", "h": "harmful", "z": "z"}

# What `parse_threshold` takes, as a JSON Schema.
THRESHOLD_SCHEMA: Mapping[str, Any] = {
    "type": ["string", "number"],
    "pattern": r"^([+-]?[0-9]{1,17}(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?"
    r"|[ph](?!0+(\.0+)?$)0{0,15}[0-9]{1,2}(\.[0-9]{1,12})?|z[+-]?[0-9]{1,17}(\.[0-9]{1,12})?)$",
    "description": "A raw score, p and a percentile or z and a z-score of the benign calibration set, or h "
    "and a percentile of its known-harmful set.",
    "examples": ["7.5", "p99.9", "z3", "h5"],
}


@dataclass(frozen=True, slots=True)
class ThresholdSpec:
    """A threshold as it was written, parsed.

    Attributes:
        kind: a raw score; a percentile or a z-score of the benign calibration set; a percentile of the
            known-harmful one.
    """

    text: str
    kind: Literal["raw", "percentile", "z", "harmful"]
    number: float


def parse_threshold(text: str) -> ThresholdSpec:
    """Parse "7.5", "-1", "p99.9", "z3" or "h5".

    Raises:
        UsageError: it is none of these, or a percentile is not between 0 and 100.
    """
    match = _SPEC.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{text!a} is not a threshold",
            hint="Write a raw score (7.5), a benign percentile (p99.9), a benign z-score (z3), "
            "or a percentile of the known-harmful rows (h5).",
        )
    if match["raw"]:
        return ThresholdSpec(text.strip(), "raw", float(match["raw"]))
    kind, number = _KINDS[match["kind"]], float(match["number"])
    if kind != "z" and (match["number"][0] in "+-" or not 0 < number < 100):
        raise UsageError(f"{text!a} is not a percentile between 0 and 100", hint="Write, for example, p99.9.")
    return ThresholdSpec(text.strip(), kind, number)


def resolve_threshold(spec: ThresholdSpec, calibration: ScoreCalibration | None) -> Threshold:
    """Return the raw score that a threshold stands for, with the shares of the calibration sets above it.

    Raises:
        BundleError: a relative threshold, and the bundle lacks the calibration that it is relative to.
    """
    if calibration is None:
        if spec.kind != "raw":
            raise _uncalibrated(
                f"threshold {spec.text} needs a calibration, and there is none for this metric and expansion"
            )
        return Threshold(spec.text, spec.number)
    value = _value(spec, calibration)
    return Threshold(
        spec.text,
        value,
        calibration.benign_share(value),
        calibration.harmful_share(value),
        calibration.rate_interval(value),
    )


def caution(spec: ThresholdSpec, calibration: ScoreCalibration | None) -> str:
    """Return why a resolved threshold is not what it is called, or ""."""
    if calibration is None or spec.kind != "percentile" or calibration.can_resolve(spec.number):
        return ""
    return (
        f"{spec.text} needs more than the {len(calibration.benign):,} benign calibration rows: "
        "the line lies just above the largest of their scores"
    )


def rate(spec: ThresholdSpec, calibration: ScoreCalibration | None) -> str:
    """Put into words how often benign rows reach a percentile's threshold, with interval and worst kind.

    Returns:
        "" for other thresholds, for one that `caution` speaks of, and where the kinds of rows are unknown.
    """
    if calibration is None or spec.kind != "percentile" or not calibration.kinds:
        return ""
    if not calibration.can_resolve(spec.number):
        return ""
    value = calibration.value_at(spec.number)
    above, (low, high) = calibration.benign_above(value), calibration.rate_interval(value)
    text = (
        f"{spec.text}: {above:,} of {len(calibration.benign):,} benign reference rows of"
        f" {len(calibration.kinds)} kinds (95 % interval {100 * low:.2g} to {100 * high:.2g} %)"
    )
    worst = calibration.most_exposed_kind(value)
    return text + (f", most of {worst[0]} ({100 * worst[1]:.2g} %)" if worst and worst[1] else "")


def _value(spec: ThresholdSpec, calibration: ScoreCalibration) -> float:
    if spec.kind == "percentile":
        return calibration.value_at(spec.number)
    if spec.kind == "z":
        if not calibration.spread:
            raise _uncalibrated(f"threshold {spec.text}: the benign calibration scores do not differ")
        return calibration.mean + spec.number * calibration.spread
    if spec.kind == "harmful":
        if not calibration.harmful:
            raise _uncalibrated(f"threshold {spec.text}: the calibration has no known-harmful rows")
        return calibration.harmful_value_at(spec.number)
    return spec.number


def _uncalibrated(message: str) -> BundleError:
    return BundleError(
        message, hint="Run `sqsd-lint bundle calibrate`, or give a raw score such as `--threshold 7.5`."
    )
