"""Scores and problems into violations: every selected rule's check on every row and file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from sqsd_lint.rules.findings import in_order, of_file, of_problem, of_row, rows_fingerprint, why_unscorable
from sqsd_lint.rules.policy import LEVELS, Policy
from sqsd_lint.rules.registry import RULES
from sqsd_lint.rules.rule import FileRule
from sqsd_lint.rules.threshold import reaches
from sqsd_lint.types import Problem, ScoredRow, Severity, Violation


def judge(
    rows: Iterable[ScoredRow], problems: Iterable[Problem], policy: Policy, *, files: Sequence[str] = ()
) -> list[Violation]:
    """Return the violations of the selected rules, by file and line, whatever the order of rows and problems.

    Args:
        files: the files in the order in which the report shows them; others follow by name.
    """
    found = judge_problems(problems, policy)
    by_file = RowsByFile(policy)
    for row in rows:
        found += judge_row(row, policy)
        by_file.add(row)
    found += by_file.findings()
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
        if severity is None or rule.unscored is scored or rule.graver in found:
            continue
        if message := rule.check(row, policy):
            percentile = row.percentile if scored else None
            found[rule.code] = of_row(rule.code, severity, message, row, percentile)
    return list(found.values())


class FileRows:
    """The rows of one file that have a score, as the rules about files see them: one by one, none kept.

    Attributes:
        lacking: by the code of a rule that is on, how many rows lack what its check needs.
    """

    def __init__(self, file: str, policy: Policy) -> None:
        self.file = file
        self.lacking: Counter[str] = Counter()
        self._policy = policy
        weighed = ((rule, policy.severity(rule.code, file)) for rule in RULES.file_rules)
        self._checks = [
            (rule, severity, rule.check(policy)) for rule, severity in weighed if severity is not None
        ]

    def add(self, row: ScoredRow) -> None:
        """Take a row, as often as it occurs."""
        for rule, _, check in self._checks:
            check.add(row)
            if rule.needs and not rule.has(row):
                self.lacking[rule.code] += 1

    def can_judge(self, rule: FileRule) -> bool:
        """Tell whether a rule is on, and all rows have what its check needs."""
        return not self.lacking[rule.code] and any(each is rule for each, _, _ in self._checks)

    def findings(self) -> Iterator[tuple[Violation, ScoredRow | None]]:
        """Yield what the rules find, each with the row that it is about; once, after the last row."""
        for rule, severity, check in self._checks:
            for message, basis, row in check.findings():
                if row is None:
                    yield of_file(rule.code, severity, message, self.file, rows_fingerprint(basis)), None
                else:
                    percentile = with_percentile(row, self._policy).percentile
                    yield of_row(rule.code, severity, message, row, percentile), row


class RowsByFile:
    """The rows of a run that have a score, by file; the others are passed by."""

    def __init__(self, policy: Policy) -> None:
        self.files: dict[str, FileRows] = {}
        self._policy = policy

    def add(self, row: ScoredRow) -> None:
        """Take a row."""
        if not why_unscorable(row.score):
            name = row.where.file
            file = self.files.get(name)
            if file is None:
                file = self.files[name] = FileRows(name, self._policy)
            file.add(row)

    def findings(self) -> Iterator[Violation]:
        """Yield what the rules about files find, once, after the last row."""
        for file in self.files.values():
            yield from (violation for violation, _ in file.findings())


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
