"""SQSD302: only part of the row's response was scored."""

from __future__ import annotations

from sqsd_lint.rules.findings import rows_text
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.rule import Category, RowRule
from sqsd_lint.types import ScoredRow, Severity


def _check(row: ScoredRow, policy: Policy) -> str:
    if row.score.response_lost <= 0:
        return ""
    total = row.score.tokens + row.score.response_lost
    return f"only {row.score.tokens:,} of {total:,} response tokens were scored"


RULE = RowRule(
    code="SQSD302",
    name="truncated-response",
    severity=Severity.WARNING,
    category=Category.DATA_QUALITY,
    summary="Only part of the row's response was scored",
    hint="Raise --max-length, or shorten the response.",
    strict={"severity": "error"},
    next_step=lambda count: f"Score {rows_text(count)} whole: raise --max-length.",
    check=_check,
)
