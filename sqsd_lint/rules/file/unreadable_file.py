"""SQSD304: the file cannot be read; the readers and the search for files find it."""

from __future__ import annotations

from sqsd_lint.rules.rule import Category, Rule, Scope
from sqsd_lint.types import Severity

RULE = Rule(
    code="SQSD304",
    name="unreadable-file",
    severity=Severity.ERROR,
    category=Category.DATA_QUALITY,
    scope=Scope.FILE,
    summary="The file cannot be read: an LFS pointer, a wrong encoding, an unknown format, over a limit",
    hint="Repair the file, or exclude it.",
    unscored=True,
)
