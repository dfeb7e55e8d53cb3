"""SQSD401: a suppression, a row's own or one of the file of suppressions, silences nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqsd_lint.rules.accepted import Acceptance, UpkeepRule, files_by_name
from sqsd_lint.rules.evaluation import Evidence
from sqsd_lint.rules.findings import of_file, of_row
from sqsd_lint.rules.registry import RULES
from sqsd_lint.rules.rule import Category, Scope
from sqsd_lint.rules.suppressions import Suppressions, inline_fault
from sqsd_lint.samples.inline_suppression import COLUMN
from sqsd_lint.types import ScoredRow, Severity, Violation

_CODE = "SQSD401"


def _check(acceptance: Acceptance) -> Iterator[Violation]:
    rows, evidence, accepted = acceptance.rows, acceptance.evidence, acceptance.accepted
    yield from _unused_inline(rows, evidence, in_force=accepted.inline)
    if accepted.suppressions is not None:
        yield from _unused_entries(accepted.suppressions, rows, evidence, acceptance.whole)


def _unused_inline(rows: Iterable[ScoredRow], evidence: Evidence, *, in_force: bool) -> Iterator[Violation]:
    """Yield a finding for each row whose own suppression is wrong, not in force or not needed."""
    for row in rows:
        suppression = row.suppression
        severity = evidence.policy.severity(_CODE, row.where.file)
        if suppression is None or severity is None:
            continue
        fault = inline_fault(suppression)
        unused = _unused(row, suppression.codes, evidence)
        if fault:
            message = f"the row's {COLUMN!a} field silences nothing: {fault}"
        elif not in_force:
            codes = ", ".join(suppression.codes)
            message = f"the row suppresses {codes}, but inline suppressions are not in force"
        elif unused:
            message = f"the row suppresses {', '.join(unused)}, but has no such finding"
        else:
            continue
        yield of_row(_CODE, severity, message, row)


def _unused_entries(
    suppressions: Suppressions, rows: Iterable[ScoredRow], evidence: Evidence, whole: Iterable[str]
) -> Iterator[Violation]:
    """Yield a finding for each entry of the file of suppressions that this run has shown to be needless.

    An entry for a row that is not in this run is needless only if it names its file, and that was read whole.
    """
    severity = evidence.policy.severity(_CODE, suppressions.source)
    if severity is None or not suppressions.entries:
        return
    files = files_by_name(whole, suppressions.folder)
    present: dict[str, list[ScoredRow]] = {}
    for row in rows:
        if row.fingerprint in suppressions.entries:
            present.setdefault(row.fingerprint, []).append(row)
    for digest, entry in sorted(suppressions.entries.items()):
        codes = entry.suppression.codes
        if digest in present:
            needless = [_unused(row, codes, evidence) for row in present[digest]]
            unused = [code for code in codes if all(code in each for each in needless)]
        elif entry.file in files:
            unused = [code for code in codes if evidence.is_gone(digest, code, files[entry.file])]
        else:
            continue
        if unused:
            message = f"[{digest}] suppresses {', '.join(unused)}, but there is no such finding"
            yield of_file(_CODE, severity, message, suppressions.source, digest)


def _unused(row: ScoredRow, codes: Sequence[str], evidence: Evidence) -> list[str]:
    """Return the codes of rules about rows that a row was checked for and has no finding of."""
    about_files = RULES.of_scope(Scope.FILE, unscored=False)
    return [
        code
        for code in codes
        if code not in about_files and evidence.is_gone(row.fingerprint, code, row.where.file)
    ]


RULE = UpkeepRule(
    code=_CODE,
    name="unused-suppression",
    severity=Severity.WARNING,
    category=Category.DATA_QUALITY,
    summary="A suppression silences nothing: it is wrong, not needed, or not in force",
    hint="Remove or correct the suppression.",
    check=_check,
)
