"""Scores and problems into violations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from sqsd_lint.judge.calibration import Calibration
from sqsd_lint.judge.catalogue import RULES
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
    found = [_of_problem(problem, policy) for problem in problems if problem.code in policy.severities]
    for row in rows:
        found += _of_row(row, policy, calibration)
    order = {file: position for position, file in reversed(list(enumerate(files)))}
    found.sort(
        key=lambda violation: (
            order.get(violation.where.file, len(order)),
            violation.where.file,
            violation.where.line,
            violation.where.index,
            violation.rule,
            violation.message,
            violation.fingerprint,
        )
    )
    return found


def _of_row(row: ScoredRow, policy: Policy, calibration: Calibration | None) -> list[Violation]:
    reason = why_unscorable(row.score)
    if reason:
        return [_of_score("SQSD301", reason, row, policy, None)] if "SQSD301" in policy.severities else []
    found = []
    sqsd, percentile = row.score.sqsd, row.percentile
    if percentile is None and calibration is not None:
        percentile = calibration.percentile(sqsd)
    if policy.error_line is not None and sqsd >= policy.error_line.value:
        message = _above("error", policy.error_line, sqsd, percentile)
        found.append(_of_score("SQSD101", message, row, policy, percentile))
    elif policy.warning_line is not None and sqsd >= policy.warning_line.value:
        message = _above("warning", policy.warning_line, sqsd, percentile)
        found.append(_of_score("SQSD102", message, row, policy, percentile))
    if row.score.response_lost > 0 and "SQSD302" in policy.severities:
        total = row.score.tokens + row.score.response_lost
        message = f"only {row.score.tokens:,} of {total:,} response tokens were scored"
        found.append(_of_score("SQSD302", message, row, policy, percentile))
    return found


def _of_score(code: str, message: str, row: ScoredRow, policy: Policy, percentile: float | None) -> Violation:
    rule = RULES[code]
    return Violation(
        rule=code,
        name=rule.name,
        severity=policy.severities[code],
        where=row.where,
        message=message,
        fingerprint=row.fingerprint,
        excerpt=row.excerpt,
        hint=rule.hint,
        score=row.score,
        percentile=percentile,
    )


def _of_problem(problem: Problem, policy: Policy) -> Violation:
    rule = RULES[problem.code]
    return Violation(
        rule=problem.code,
        name=rule.name,
        severity=policy.severities[problem.code],
        where=problem.where,
        message=problem.message,
        fingerprint=problem.fingerprint,
        excerpt=problem.excerpt,
        hint=problem.hint or rule.hint,
    )


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
