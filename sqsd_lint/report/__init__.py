"""A report in the formats that people and programs read: `write(report, "text", sys.stdout)`.

Each format is a module of its own with one function, `write(report, stream, options)`:

    text      for people at a terminal
    concise   one line per finding, for editors and grep
    json      one object, jsonl  one object per line: for programs
    sarif     SARIF 2.1.0, for code hosts and viewers
    github    workflow commands, gitlab  Code Quality, junit  JUnit XML: for CI
    markdown  for a job summary or a comment
    html      one file to open in a browser
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import IO

from sqsd_lint.errors import UsageError
from sqsd_lint.types import Report

FORMATS = (
    *("text", "concise", "json", "jsonl"),
    *("sarif", "github", "gitlab", "junit", "markdown", "html"),
)


@dataclass(frozen=True)
class Options:
    """How much a report shows.

    `redact` holds for every format, the others where they are named: sarif, github, gitlab and junit are
    read by programs that take a missing finding for a mended one, so they always hold every finding that
    they can.

    Attributes:
        redact: no text of a row, its fingerprint instead.
        quiet: violations only, and the coverage line where it is not complete (text, concise).
        verbose: fingerprints, tokens, danger and safety apart, hints, timing (text).
        statistics: counts per rule instead of the rows (text, with the distribution of the scores; concise,
            json, jsonl, markdown, html).
        width: cells to lay the page out for; None asks the terminal (text).
    """

    redact: bool = False
    quiet: bool = False
    verbose: bool = False
    statistics: bool = False
    width: int | None = None


def write(report: Report, format: str, stream: IO[str], options: Options | None = None) -> None:
    """Writes `report` to `stream` in one of `FORMATS`.

    Raises:
        UsageError: no such format.
    """
    if format not in FORMATS:
        raise UsageError(f"no report format {format!r}", hint=f"choose one of: {', '.join(FORMATS)}")
    shown = report if format in _EXACT else _with_clear_percentiles(report)
    import_module(f"{__name__}.formats.{format}").write(shown, stream, options or Options())


# Formats whose percentiles programs compute with.
_EXACT = ("json", "jsonl", "sarif")


def _with_clear_percentiles(report: Report) -> Report:
    """Return the report without the percentiles that read like a threshold that the row is under."""
    from sqsd_lint.rules.threshold import clear_percentile

    thresholds = (report.head.error_threshold, report.head.warning_threshold)
    return replace(
        report,
        violations=tuple(
            replace(v, percentile=clear_percentile(v.score.risk, v.percentile, thresholds)) if v.score else v
            for v in report.violations
        ),
    )
