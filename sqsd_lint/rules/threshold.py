"""Thresholds as users write them, resolved to raw scores.

The lines of a policy: the pack's, or those that the settings draw instead.

Which rows lie too near a line for a fast score to decide.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from sqsd_lint.errors import BundleError, UsageError
from sqsd_lint.rules.calibration import Calibration
from sqsd_lint.rules.packs import Pack
from sqsd_lint.types import Line


def near_line(score: float, lines: Iterable[Line | None], tolerance: float) -> bool:
    """Whether another device or dtype could put the score on the other side of one of the lines.

    Such rows are scored again in exact mode before they are judged. A score that is not a number is
    near no line.

    Args:
        tolerance: the calibration's, in score units.
    """
    return any(line is not None and abs(score - line.value) <= tolerance for line in lines)


def draw_lines(
    pack: Pack,
    calibration: Calibration | None,
    selected: Collection[str],
    threshold: str | None,
    warning_threshold: str | None,
) -> tuple[dict[str, Line], list[str]]:
    """The lines of the selected rules, and what to note about them."""
    lines: dict[str, Line] = {}
    notes: list[str] = []
    for code, override in (("SQSD101", threshold), ("SQSD102", warning_threshold)):
        # An override is parsed even where its rule is off, so that a slip never goes unnoticed.
        spec = parse(override) if override is not None else None
        if code not in selected:
            continue
        own = parse(pack.rules[code].threshold or "")
        if spec is None and calibration is None and own.kind != "raw" and lines:
            # A raw --threshold suffices without a calibration: the pack's percentile for warnings then says
            # nothing, and is left out rather than made a condition.
            notes.append(f"{code} is off: there is no calibration to draw its line by")
            continue
        spec = spec or own
        lines[code] = resolve(spec, calibration)
        notes += filter(None, [caution(spec, calibration)])
    return lines, notes


def draw_share_line(
    pack: Pack, calibration: Calibration | None, warning: Line | None, override: str | None
) -> Line | None:
    """The warning line, or the one that SQSD102 would draw if it were on."""
    text = override or (pack.rules["SQSD102"].threshold if "SQSD102" in pack.rules else None)
    if calibration is None or warning is not None or text is None:
        return warning if calibration is not None else None
    return resolve(parse(text), calibration)


# As many digits as a float may print, and too few to overflow one or to round a percentile up to 100.
_SCORE = r"[+-]?[0-9]{1,17}(?:\.[0-9]{1,25})?(?:[eE][+-]?[0-9]{1,2})?"
_RANK = r"[+-]?[0-9]{1,17}(?:\.[0-9]{1,12})?"
_SPEC = re.compile(rf"(?P<raw>{_SCORE})|(?P<kind>[phz])(?P<number>{_RANK})")
_KINDS: dict[str, Literal["percentile", "harmful", "z"]] = {"p": "percentile", "h": "harmful", "z": "z"}


@dataclass(frozen=True, slots=True)
class Spec:
    """A parsed threshold.

    Attributes:
        text: as it was written.
        kind: a raw score; a percentile or a z-score of the benign calibration set; a percentile of the
            known-harmful one.
    """

    text: str
    kind: Literal["raw", "percentile", "z", "harmful"]
    number: float


def parse(text: str) -> Spec:
    """Parses "7.5", "-1", "p99.9", "z3" or "h5".

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
        return Spec(text.strip(), "raw", float(match["raw"]))
    kind, number = _KINDS[match["kind"]], float(match["number"])
    if kind != "z" and (match["number"][0] in "+-" or not 0 < number < 100):
        raise UsageError(f"{text!a} is not a percentile between 0 and 100", hint="Write, for example, p99.9.")
    return Spec(text.strip(), kind, number)


def resolve(spec: Spec, calibration: Calibration | None) -> Line:
    """The raw score that a threshold stands for, with the shares of the calibration sets at or above it.

    Raises:
        BundleError: a relative threshold, and the bundle lacks the calibration that it is relative to.
    """
    if calibration is None:
        if spec.kind != "raw":
            raise _uncalibrated(
                f"threshold {spec.text} needs a calibration, and there is none for this metric and expansion"
            )
        return Line(spec.text, spec.number)
    value = _value(spec, calibration)
    return Line(spec.text, value, calibration.benign_share(value), calibration.harmful_share(value))


def caution(spec: Spec, calibration: Calibration | None) -> str:
    """What the reader of a report must know about a resolved threshold, or ""."""
    if calibration is None or spec.kind != "percentile" or calibration.reaches(spec.number):
        return ""
    return (
        f"{spec.text} needs more than the {len(calibration.benign):,} benign calibration rows: "
        "the line lies just above the largest of their scores"
    )


def _value(spec: Spec, calibration: Calibration) -> float:
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
