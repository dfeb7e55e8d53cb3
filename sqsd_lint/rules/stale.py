"""Acceptance that answers nothing: suppressions (SQSD401) and the baseline's stale entries (SQSD402)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqsd_lint.rules.baseline import Baseline, Entry
from sqsd_lint.rules.evaluation import Looked
from sqsd_lint.rules.findings import of_file, of_row
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.registry import FILE_RULES, ROW_RULES
from sqsd_lint.rules.suppressions import Suppressions, why_not
from sqsd_lint.samples.inline_suppression import COLUMN, RefusedSuppression
from sqsd_lint.types import ScoredRow, Suppression, Violation


def inline_fault(suppression: Suppression) -> str:
    """What is wrong with a row's own suppression, "" if nothing is."""
    if isinstance(suppression, RefusedSuppression):
        return suppression.fault
    return next(filter(None, (why_not(code, ROW_RULES) for code in suppression.codes)), "")


def unused_inline(rows: Iterable[ScoredRow], looked: Looked, *, in_force: bool) -> Iterator[Violation]:
    """SQSD401 for each row whose own suppression is wrong, not in force or not needed."""
    for row in rows:
        suppression = row.suppression
        severity = looked.policy.severity("SQSD401", row.where.file)
        if suppression is None or severity is None:
            continue
        fault = inline_fault(suppression)
        unused = _unused(row, suppression.codes, looked)
        if fault:
            message = f"the row's {COLUMN!a} field silences nothing: {fault}"
        elif not in_force:
            codes = ", ".join(suppression.codes)
            message = f"the row suppresses {codes}, but inline suppressions are not in force"
        elif unused:
            message = f"the row suppresses {', '.join(unused)}, but has no such finding"
        else:
            continue
        yield of_row("SQSD401", severity, message, row)


def unused_entries(
    suppressions: Suppressions, rows: Iterable[ScoredRow], looked: Looked, whole: Mapping[str, str]
) -> Iterator[Violation]:
    """SQSD401 for each entry of the file of suppressions that this run has shown to be needless.

    An entry for a row that this run has not seen is needless only if it names its file, and that was read.

    Args:
        whole: the files of which every row was judged, by their name as entries use it.
    """
    severity = looked.policy.severity("SQSD401", suppressions.source)
    if severity is None or not suppressions.entries:
        return
    seen: dict[str, list[ScoredRow]] = {}
    for row in rows:
        if row.fingerprint in suppressions.entries:
            seen.setdefault(row.fingerprint, []).append(row)
    for digest, entry in sorted(suppressions.entries.items()):
        codes = entry.suppression.codes
        if digest in seen:
            needless = [_unused(row, codes, looked) for row in seen[digest]]
            unused = [code for code in codes if all(code in each for each in needless)]
        elif entry.file in whole:
            unused = [code for code in codes if looked.lacks(digest, code, whole[entry.file])]
        else:
            continue
        if unused:
            message = f"[{digest}] suppresses {', '.join(unused)}, but there is no such finding"
            yield of_file("SQSD401", severity, message, suppressions.source, digest)


def stale_entries(baseline: Baseline, looked: Looked, whole: Mapping[str, str]) -> list[Entry]:
    """The entries of files that were read whole, and whose finding is nowhere any more.

    Args:
        whole: as for `unused_entries`.
    """
    return [
        entry
        for entry in sorted(baseline.entries)
        if entry.file in whole and looked.lacks(entry.fingerprint, entry.rule, whole[entry.file])
    ]


def stale_findings(baseline: Baseline, stale: Sequence[Entry], policy: Policy) -> Iterator[Violation]:
    """One SQSD402 per data file that has lost findings."""
    severity = policy.severity("SQSD402", baseline.source)
    if severity is None:
        return
    by_file: dict[str, list[Entry]] = {}
    for entry in stale:
        by_file.setdefault(entry.file, []).append(entry)
    for file, entries in by_file.items():
        first = f"{entries[0].rule} of {entries[0].fingerprint}"
        what = first if len(entries) == 1 else f"{len(entries):,} findings ({first} and others)"
        yield of_file("SQSD402", severity, f"{file} no longer has {what}", baseline.source)


def _unused(row: ScoredRow, codes: Sequence[str], looked: Looked) -> list[str]:
    """The codes of row rules that were looked for in a row and found nothing."""
    return [
        code
        for code in codes
        if code not in FILE_RULES and looked.lacks(row.fingerprint, code, row.where.file)
    ]
