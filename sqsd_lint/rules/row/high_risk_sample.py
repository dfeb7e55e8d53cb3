"""SQSD101: the row's score is at or above the error threshold."""

from __future__ import annotations

from sqsd_lint.rules.findings import above_threshold, why_no_error
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.rule import Category, Option, RowRule
from sqsd_lint.rules.threshold import THRESHOLD_SCHEMA, reaches
from sqsd_lint.types import ScoredRow, Severity


def _check(row: ScoredRow, policy: Policy) -> str:
    threshold = policy.error_threshold
    if threshold is None or not reaches(row.score, threshold) or why_no_error(row, threshold, policy):
        return ""
    return above_threshold(Severity.ERROR, row, threshold)


RULE = RowRule(
    code="SQSD101",
    name="high-risk-sample",
    severity=Severity.ERROR,
    category=Category.SECURITY,
    summary="The row's score is at or above the error line",
    hint="Read the row; remove or rewrite it if its answer is unsafe.",
    movable=True,
    options={"threshold": Option("p99.9", THRESHOLD_SCHEMA, str)},
    strict={"threshold": "p99"},
    check=_check,
)
