"""GitLab's Code Quality report: an array of findings, shown in the merge request and beside its lines.

GitLab compares the fingerprints of two reports to tell new findings from known ones, and shows only one of
those that share one. The format has no place for the coverage: what has no score is a finding of its own
there (SQSD301, SQSD303, SQSD304), and the exit code is 3.
"""

from __future__ import annotations

from typing import IO, Any

from sqsd_lint.common.escape import escape
from sqsd_lint.report import Options, fields
from sqsd_lint.report.finding_ids import identities, with_path
from sqsd_lint.report.paths import find_root
from sqsd_lint.report.ranking import by_place
from sqsd_lint.report.sentences import row_text, sentence
from sqsd_lint.types import Report, Severity, Violation

_SEVERITIES = {Severity.ERROR: "critical", Severity.WARNING: "minor"}
_CELLS = 120


def write(report: Report, stream: IO[str], options: Options) -> None:
    """Write the findings, one object per line of the array."""
    root = find_root()
    paths = {file: root.path(file) for file in {v.where.file for v in report.violations}}
    ordered = by_place(report.violations)
    lines = [
        fields.dump(_finding(violation, identity, paths[violation.where.file], options))
        for violation, identity in zip(ordered, identities(ordered, paths), strict=True)
    ]
    stream.write("[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n")


def _finding(violation: Violation, identity: str, path: str, options: Options) -> dict[str, Any]:
    said = row_text(violation, options, _CELLS)
    message = f"{escape(violation.name)}: {sentence(violation.message)}"
    return {
        "description": f"{message} | {said}" if said else message,
        "check_name": escape(violation.rule),
        "fingerprint": with_path(identity, path),
        "severity": _SEVERITIES[violation.severity],
        "location": {"path": path, "lines": {"begin": max(violation.where.line, 1)}},
    }
