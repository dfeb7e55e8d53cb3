"""The end of the text report: the verdict, the coverage line, what to do next."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from sqsd_lint.report import Options, numbers
from sqsd_lint.report.page import Page
from sqsd_lint.report.safe import escape
from sqsd_lint.report.summary import (
    answered,
    coverage_line,
    coverage_notes,
    coverage_parts,
    in_files,
    is_clear,
    not_scored_line,
    severity_counts,
    verdict,
)
from sqsd_lint.types import Report, Severity

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}


def print_verdict(page: Page, report: Report) -> None:
    """`Found 3 errors and 2 warnings in 2 files.`, or that all is clear, and what the baseline answered."""
    if report.violations:
        page.line(_found(report))
    elif is_clear(report) and report.coverage.rows:
        head, _, rest = verdict(report).partition(":")
        page.line(Text.assemble((f"{page.glyphs.clear} {head}", "bold green"), f":{rest}"))
    else:
        page.line(Text(verdict(report), "bold"))
    known = answered(report)
    if known:
        page.line(Text(known, "dim"))


def _found(report: Report) -> Text:
    text = Text("Found ")
    for place, (severity, count) in enumerate(severity_counts(report)):
        text.append(" and " if place else "").append(count, _STYLES[severity])
    return text.append(f" {in_files(report)}.")


def print_coverage(page: Page, report: Report, options: Options) -> None:
    """`scored N of N rows`, where the scores came from, what has none and why, what was left out."""
    coverage = report.coverage
    text = Text(coverage_line(report), "dim" if coverage.complete else "bold red")
    parts = coverage_parts(report)
    if options.verbose and report.seconds:
        parts.append(numbers.duration(report.seconds))
        parts.append(f"{coverage.rows / report.seconds:,.1f} rows/s")
    for part in parts:
        text.append(page.glyphs.dot + part, "dim not bold default")
    page.line(text)
    missing = not_scored_line(report)
    if missing:
        page.line(Text(missing, "dim" if coverage.complete else ""))
    for note in coverage_notes(report):
        page.line(Text.assemble(("note: ", "cyan"), page.prose(note)), hang=6)


def print_next_steps(page: Page, steps: Sequence[str], tried: str = "") -> None:
    """What such rows cost when they were tried, and what to do next; commands stand in backticks."""
    if steps or tried:
        page.line()
    if tried:
        page.line(Text.assemble(("tried: ", "cyan"), tried), hang=7)
    for step in steps:
        page.line(Text.assemble((f"{page.glyphs.arrow} ", "cyan"), page.prose(escape(step))), hang=2)
