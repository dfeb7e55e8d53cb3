"""Scores and problems into violations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from sqsd_lint.judge.calibration import Calibration
from sqsd_lint.judge.files import judge_file
from sqsd_lint.judge.findings import in_order, of_problem, of_row
from sqsd_lint.judge.policy import Policy
from sqsd_lint.judge.scorable import why_unscorable
from sqsd_lint.types import Line, Problem, ScoredRow, Violation


def judge(
    rows: Iterable[ScoredRow],
    problems: Iterable[Problem],
    policy: Policy,
    calibration: Calibration | None,
    *,
    files: Sequence[str] = (),
) -> list[Violation]:
    """The violations of the selected rules, by file and line, whatever the order of rows and problems.

    Args:
        files: the files in the order in which the report shows them; others follow by name.
    """
    found = []
    for problem in problems:
        severity = policy.severity(problem.code, problem.where.file)
        if severity is not None:
            found.append(of_problem(problem, severity))
    by_file: dict[str, list[ScoredRow]] = {}
    for row in rows:
        found += _judge_row(row, policy, calibration)
        if not why_unscorable(row.score):
            by_file.setdefault(row.where.file, []).append(row)
    for file, scored in by_file.items():
        found += judge_file(file, scored, policy, calibration)
    return in_order(found, files)


def _judge_row(row: ScoredRow, policy: Policy, calibration: Calibration | None) -> list[Violation]:
    file = row.where.file
    reason = why_unscorable(row.score)
    if reason:
        severity = policy.severity("SQSD301", file)
        return [] if severity is None else [of_row("SQSD301", severity, reason, row)]
    found = []
    sqsd, percentile = row.score.sqsd, row.percentile
    if percentile is None and calibration is not None:
        percentile = calibration.percentile(sqsd)
    for code, kind, line in (
        ("SQSD101", "error", policy.error_line),
        ("SQSD102", "warning", policy.warning_line),
    ):
        severity = policy.severity(code, file)
        if severity is not None and line is not None and sqsd >= line.value:
            found.append(of_row(code, severity, _above(kind, line, sqsd, percentile), row, percentile))
            break
    lost = policy.severity("SQSD302", file)
    if row.score.response_lost > 0 and lost is not None:
        total = row.score.tokens + row.score.response_lost
        message = f"only {row.score.tokens:,} of {total:,} response tokens were scored"
        found.append(of_row("SQSD302", lost, message, row, percentile))
    return found


def _above(kind: str, line: Line, sqsd: float, percentile: float | None) -> str:
    rank = "" if percentile is None else f" (p{_floored(percentile)})"
    spec = f" ({line.spec})" if line.spec[0] in "phz" else ""
    return f"SQSD {_number(sqsd)}{rank} is at or above the {kind} line {_number(line.value)}{spec}"


def _number(value: float) -> str:
    """Two decimals, or three digits for the small scores of `dot` and `projection`."""
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3g}"


def _floored(percentile: float) -> str:
    """At most two decimals, never rounded up: p100 is for scores above every benign row."""
    return f"{math.floor(percentile * 100) / 100:g}"
