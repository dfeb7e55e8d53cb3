"""One JSON object per report.

{"version": 1, "head": {...}, "summary": {...}, "coverage": {...}, "violations": [...], "next_steps": [...]}
"""

from __future__ import annotations

from typing import IO

from sqsd_lint.report import Options, fields
from sqsd_lint.types import Report


def write(report: Report, stream: IO[str], options: Options) -> None:
    """Write the report, indented by two blanks, with a final newline."""
    found = [] if options.statistics else [fields.violation(v, options) for v in report.violations]
    document = {
        "version": fields.VERSION,
        "head": fields.head(report.head),
        "summary": fields.summary(report),
        "coverage": fields.coverage(report.coverage),
        "violations": found,
        "next_steps": list(report.next_steps),
    }
    stream.write(fields.dump(document, indent=2) + "\n")
