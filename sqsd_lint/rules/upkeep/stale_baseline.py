"""SQSD402: the baseline holds findings that its file no longer has."""

from __future__ import annotations

from collections.abc import Iterator

from sqsd_lint.rules.accepted import Acceptance, UpkeepRule
from sqsd_lint.rules.baseline import BaselineEntry
from sqsd_lint.rules.findings import of_file
from sqsd_lint.rules.rule import Category
from sqsd_lint.types import Severity, Violation

_CODE = "SQSD402"


def _check(acceptance: Acceptance) -> Iterator[Violation]:
    """Yield one finding per data file that has lost findings."""
    baseline = acceptance.accepted.baseline
    severity = acceptance.evidence.policy.severity(_CODE, baseline.source) if baseline else None
    if baseline is None or severity is None:
        return
    by_file: dict[str, list[BaselineEntry]] = {}
    for entry in acceptance.stale:
        by_file.setdefault(entry.file, []).append(entry)
    for file, entries in by_file.items():
        first = f"{entries[0].rule} of {entries[0].fingerprint}"
        what = first if len(entries) == 1 else f"{len(entries):,} findings ({first} and others)"
        yield of_file(_CODE, severity, f"{file} no longer has {what}", baseline.source)


RULE = UpkeepRule(
    code=_CODE,
    name="stale-baseline",
    severity=Severity.WARNING,
    category=Category.DATA_QUALITY,
    summary="The baseline holds findings that its file no longer has",
    hint="Run `sqsd-lint baseline prune`.",
    next_step=lambda count: "Drop what the baseline no longer needs: `sqsd-lint baseline prune`.",
    check=_check,
)
