"""Scores and problems into violations: every selected rule's check on every row and file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqsd_lint.rules.findings import in_order, of_file, of_problem, of_row, rows_fingerprint, why_unscorable
from sqsd_lint.rules.policy import LEVELS, Policy
from sqsd_lint.rules.registry import RULES
from sqsd_lint.rules.threshold import reaches
from sqsd_lint.types import Problem, ScoredRow, Severity, Violation


def judge(
    rows: Iterable[ScoredRow], problems: Iterable[Problem], policy: Policy, *, files: Sequence[str] = ()
) -> list[Violation]:
    """Return the violations of the selected rules, by file and line, whatever the order of rows and problems.

    Args:
        files: the files in the order in which the report shows them; others follow by name.
    """
    rows = list(rows)
    found = judge_problems(problems, policy)
    for row in rows:
        found += judge_row(row, policy)
    for file, scored in scored_by_file(rows).items():
        found += judge_file(file, scored, policy)
    return in_order(found, files)


def judge_problems(problems: Iterable[Problem], policy: Policy) -> list[Violation]:
    """Return a violation for every problem whose rule is selected."""
    weighed = ((problem, policy.severity(problem.code, problem.where.file)) for problem in problems)
    return [of_problem(problem, severity) for problem, severity in weighed if severity is not None]


def judge_row(row: ScoredRow, policy: Policy) -> list[Violation]:
    """Return what the rules about one row find in it; a lighter finding only where there is no graver one."""
    scored = not why_unscorable(row.score)
    row = with_percentile(row, policy) if scored else row
    found: dict[str, Violation] = {}
    for rule in RULES.row_rules:
        severity = policy.severity(rule.code, row.where.file)
        if severity is None or rule.checks_scored is not scored or rule.graver in found:
            continue
        if message := rule.check(row, policy):
            percentile = row.percentile if scored else None
            found[rule.code] = of_row(rule.code, severity, message, row, percentile)
    return list(found.values())


def judge_file(file: str, rows: Sequence[ScoredRow], policy: Policy) -> list[Violation]:
    """Return what the rules about a file find in it.

    Args:
        rows: those of the file that have a score, each as often as it occurs.
    """
    found = []
    for rule in RULES.file_rules:
        severity = policy.severity(rule.code, file)
        if severity is None:
            continue
        for message, basis, row in rule.check(rows, policy):
            if row is None:
                found.append(of_file(rule.code, severity, message, file, rows_fingerprint(basis)))
            else:
                percentile = with_percentile(row, policy).percentile
                found.append(of_row(rule.code, severity, message, row, percentile))
    return found


def scored_by_file(rows: Iterable[ScoredRow]) -> dict[str, list[ScoredRow]]:
    """Return the rows that have a score, by their file."""
    files: dict[str, list[ScoredRow]] = {}
    for row in rows:
        if not why_unscorable(row.score):
            files.setdefault(row.where.file, []).append(row)
    return files


def gravest_level(row: ScoredRow, policy: Policy) -> Severity | None:
    """Return the gravest threshold that a row with a score reaches, of those in force for its file."""
    for code, level in LEVELS.items():
        in_force = policy.severity(code, row.where.file) is not None
        if in_force and reaches(row.score, policy.thresholds.get(code)):
            return level
    return None


def with_percentile(row: ScoredRow, policy: Policy) -> ScoredRow:
    """Return the row with its place among benign rows, in percent, if it is known."""
    if row.percentile is not None or policy.calibration is None:
        return row
    return replace(row, percentile=policy.calibration.percentile(row.score.risk))
