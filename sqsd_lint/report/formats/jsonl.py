"""One violation per line, and a last line of another shape, which tells that the report is whole.

{"rule": "SQSD101", "file": ..., ...}
{"summary": {...}, "coverage": {...}, "head": {...}, "version": 1}
"""

from __future__ import annotations

from typing import IO

from sqsd_lint.report import Options, fields
from sqsd_lint.types import Report


def write(report: Report, stream: IO[str], options: Options) -> None:
    """Write the violations (none with `statistics`), then the summary line."""
    if not options.statistics:
        for violation in report.violations:
            stream.write(fields.dump(fields.violation(violation, options)) + "\n")
    last = {
        "summary": fields.summary(report),
        "coverage": fields.coverage(report.coverage),
        "head": fields.head(report.head),
        "version": fields.VERSION,
    }
    stream.write(fields.dump(last) + "\n")
