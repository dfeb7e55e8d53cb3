"""The lines of a policy: the pack's, or those that the settings draw instead."""

from __future__ import annotations

from collections.abc import Collection

from sqsd_lint.judge.calibration import Calibration
from sqsd_lint.judge.packs import Pack
from sqsd_lint.judge.threshold import caution, parse, resolve
from sqsd_lint.types import Line


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
