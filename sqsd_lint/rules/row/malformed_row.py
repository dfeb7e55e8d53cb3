"""SQSD303: the row cannot be read; the readers find it."""

from __future__ import annotations

from sqsd_lint.rules.rule import Category, Rule, Scope
from sqsd_lint.types import Severity

RULE = Rule(
    code="SQSD303",
    name="malformed-row",
    severity=Severity.ERROR,
    category=Category.DATA_QUALITY,
    scope=Scope.ROW,
    summary="The row is not JSON, or has no known schema",
    hint="Repair the row, or name its columns under [columns] in the configuration.",
    unscored=True,
)
