"""Scores and problems into violations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqsd_lint.rules.calibration import Calibration
from sqsd_lint.rules.files import judge_file
from sqsd_lint.rules.findings import in_order, of_problem, of_row, why_unscorable
from sqsd_lint.rules.policy import Policy
from sqsd_lint.types import Line, Problem, ScoredRow, Severity, Violation


class Crossed(NamedTuple):
    """A line that a row is at or above, and the rule that it begins."""

    code: str
    severity: Severity
    kind: Severity
    line: Line


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
    percentile = percentile_of(row, calibration)
    crossed = gravest_line(row, policy)
    if crossed is not None:
        message = _above(crossed, row.score.sqsd, percentile)
        found.append(of_row(crossed.code, crossed.severity, message, row, percentile))
    lost, message = policy.severity("SQSD302", file), truncation(row)
    if message and lost is not None:
        found.append(of_row("SQSD302", lost, message, row, percentile))
    return found


def gravest_line(row: ScoredRow, policy: Policy) -> Crossed | None:
    """The gravest line that a row with a score is at or above, of those that are in force for its file."""
    for code, kind, line in (
        ("SQSD101", Severity.ERROR, policy.error_line),
        ("SQSD102", Severity.WARNING, policy.warning_line),
    ):
        severity = policy.severity(code, row.where.file)
        if severity is not None and line is not None and row.score.sqsd >= line.value:
            return Crossed(code, severity, kind, line)
    return None


def percentile_of(row: ScoredRow, calibration: Calibration | None) -> float | None:
    """The row's place among benign rows, in percent, if it is known."""
    if row.percentile is None and calibration is not None:
        return calibration.percentile(row.score.sqsd)
    return row.percentile


def truncation(row: ScoredRow) -> str:
    """What of a row's response was not scored, "" if all of it was."""
    if row.score.response_lost <= 0:
        return ""
    total = row.score.tokens + row.score.response_lost
    return f"only {row.score.tokens:,} of {total:,} response tokens were scored"


def _above(crossed: Crossed, sqsd: float, percentile: float | None) -> str:
    line = crossed.line
    rank = "" if percentile is None else f" ({rank_text(percentile)})"
    spec = f" ({line.spec})" if line.spec[0] in "phz" else ""
    kind = crossed.kind.value
    return f"SQSD {score_text(sqsd)}{rank} is at or above the {kind} line {score_text(line.value)}{spec}"


def score_text(value: float) -> str:
    """Two decimals, or three digits for the small scores of `dot` and `projection`."""
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3g}"


def rank_text(percentile: float) -> str:
    """`p99.9`: at most two decimals, never rounded up, since p100 is for scores above every benign row."""
    return f"p{math.floor(percentile * 100) / 100:g}"
