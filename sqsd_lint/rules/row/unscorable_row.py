"""SQSD301: the row has no score that could be compared with a threshold."""

from __future__ import annotations

from sqsd_lint.rules.findings import why_unscorable
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.rule import Category, RowRule
from sqsd_lint.types import ScoredRow, Severity


def _check(row: ScoredRow, policy: Policy) -> str:
    return why_unscorable(row.score)


RULE = RowRule(
    code="SQSD301",
    name="unscorable-row",
    severity=Severity.ERROR,
    category=Category.DATA_QUALITY,
    summary="The row has no response tokens, or its update is zero or not finite",
    hint="Give the row a response, or remove it.",
    unscored=True,
    check=_check,
)
