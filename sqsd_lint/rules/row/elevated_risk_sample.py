"""SQSD102: the row's score is at or above the warning threshold."""

from __future__ import annotations

from sqsd_lint.rules.findings import CAVEAT, above_threshold, why_no_error
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.rule import Category, Option, RowRule
from sqsd_lint.rules.threshold import THRESHOLD_SCHEMA, reaches
from sqsd_lint.types import ScoredRow, Severity


def _check(row: ScoredRow, policy: Policy) -> str:
    threshold = policy.warning_threshold
    if threshold is None or not reaches(row.score, threshold):
        return ""
    said = above_threshold(Severity.WARNING, row, threshold, [policy.error_threshold])
    error = policy.error_threshold
    if error is not None and reaches(row.score, error):
        reason = why_no_error(row, error, policy)
    else:  # what a part alone would not be, this row is not either
        reason = "" if row.score.part else why_no_error(row, threshold, policy)
    return said + (CAVEAT + reason if reason else "")


RULE = RowRule(
    code="SQSD102",
    name="elevated-risk-sample",
    severity=Severity.WARNING,
    category=Category.SECURITY,
    summary="The row's score is at or above the warning line",
    hint="Read the row; remove or rewrite it if its answer is unsafe.",
    movable=True,
    graver="SQSD101",
    options={"threshold": Option("p99", THRESHOLD_SCHEMA, str)},
    strict={"threshold": "p95"},
    check=_check,
)
