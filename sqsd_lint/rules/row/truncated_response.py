"""SQSD302: only part of the row's response was scored."""

from __future__ import annotations

from sqsd_lint.rules.findings import rows_text
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.rule import Category, RowRule
from sqsd_lint.types import ScoredRow, Severity


def _check(row: ScoredRow, policy: Policy) -> str:
    if row.score.response_lost <= 0:
        return ""
    score = row.score
    total = score.window.tokens if score.window else score.tokens + score.response_lost
    return f"only {total - score.response_lost:,} of {total:,} response tokens were scored"


RULE = RowRule(
    code="SQSD302",
    name="truncated-response",
    severity=Severity.ERROR,
    category=Category.DATA_QUALITY,
    summary="Only part of the row's response was scored",
    hint="Score it whole with --long-answers windows or a larger --max-length, or split the row.",
    unscored=True,
    partial=True,
    next_step=lambda count: (
        f"Score {rows_text(count)} whole: --long-answers windows, or a larger --max-length."
    ),
    check=_check,
)
