"""SQSD305: the row's answers hold characters that nobody sees."""

from __future__ import annotations

from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.rule import Category, RowRule
from sqsd_lint.types import ScoredRow, Severity

_NAMED = 3


def _check(row: ScoredRow, policy: Policy) -> str:
    if not row.invisible:
        return ""
    total = sum(count for _, count in row.invisible)
    names = [f"{count:,} {name}" for name, count in row.invisible[:_NAMED]]
    more = ["others"] if len(row.invisible) > _NAMED else []
    characters = f"{total:,} invisible character{'' if total == 1 else 's'}"
    return f"its answers hold {characters} ({', '.join([*names, *more])})"


RULE = RowRule(
    code="SQSD305",
    name="invisible-characters",
    severity=Severity.WARNING,
    category=Category.DATA_QUALITY,
    summary="The row's answers hold characters that readers do not see and no script needs",
    hint="Take them out, or find out what they spell: the model reads them.",
    strict={"severity": "error"},
    check=_check,
)
