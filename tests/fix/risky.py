"""Violations for rows of a file, as a report would hold them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sqsd_lint.fix import Moved, apply, plan
from sqsd_lint.read import read_rows
from sqsd_lint.samples import to_sample
from sqsd_lint.types import Row, Severity, Violation, Where


def violations(
    file: str | Path, indices: Iterable[int], rule: str = "SQSD101", severity: Severity = Severity.ERROR
) -> list[Violation]:
    """A violation for each of these rows of the file, with their true fingerprints."""
    rows = {item.where.index: item for item in read_rows(str(file)) if isinstance(item, Row)}
    found = []
    for index in sorted(set(indices)):
        print_of = to_sample(rows[index]).fingerprint
        found.append(violation(rows[index].where, rule=rule, severity=severity, fingerprint=print_of))
    return found


def violation(
    where: Where, *, rule: str = "SQSD101", severity: Severity = Severity.ERROR, fingerprint: str = ""
) -> Violation:
    return Violation(
        rule, "high-risk-sample", severity, where, "SQSD 9.00 is at or above the error line", fingerprint
    )


def fix(file: str | Path, indices: Iterable[int]) -> list[Moved]:
    """Move these rows."""
    return list(apply(plan(violations(file, indices))))


def raws(file: str | Path) -> list[object]:
    """The rows of a file, and the codes of those that cannot be read."""
    return [item.raw if isinstance(item, Row) else item.code for item in read_rows(str(file))]
