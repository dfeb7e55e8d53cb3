"""The end of the text report: the verdict, the coverage line, what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.text import Text

from sqsd_lint.errors import ExitCode
from sqsd_lint.report import Options, numbers
from sqsd_lint.report.page import Page
from sqsd_lint.report.safe import escape
from sqsd_lint.types import Report, Severity

# The rules whose finding means that a row, or a whole file, has no score.
_UNSCORED_ROWS = ("SQSD301", "SQSD303")
_UNREADABLE_FILE = "SQSD304"


def print_verdict(page: Page, report: Report) -> None:
    """`Found 3 errors and 2 warnings in 2 files.`, or that all is clear."""
    by_severity = Counter(violation.severity for violation in report.violations)
    coverage = report.coverage
    if not by_severity:
        page.line(_nothing_found(page, report))
        return
    text = Text("Found ")
    styles = ((Severity.ERROR, "bold red"), (Severity.WARNING, "bold yellow"))
    parts = [
        (numbers.count(by_severity[severity], severity.value), style)
        for severity, style in styles
        if by_severity[severity]
    ]
    text.append(*parts[0])
    for part in parts[1:]:
        text.append(" and ").append(*part)
    files = len({violation.where.file for violation in report.violations})
    of_all = f" of {coverage.files}" if coverage.files > files else ""
    text.append(f" in {files}{of_all} file{'' if (coverage.files if of_all else files) == 1 else 's'}.")
    page.line(text)


def _nothing_found(page: Page, report: Report) -> Text:
    coverage = report.coverage
    if not coverage.complete or report.exit_code != ExitCode.OK:
        return Text("No violations, but not every row was scored.", "bold")
    if coverage.rows == 0:
        return Text("Nothing to do: no rows found.", "bold")
    return Text.assemble(
        (f"{page.glyphs.clear} All clear", "bold green"),
        f": no violations in {numbers.count(coverage.files, 'file')}.",
    )


def print_coverage(page: Page, report: Report, options: Options) -> None:
    """`scored N of N rows`, where the scores came from, and what has none and why."""
    coverage = report.coverage
    text = Text(coverage_line(report), "dim" if coverage.complete else "bold red")
    parts = [f"{coverage.cached} from cache"] if coverage.cached else []
    if coverage.allowed:
        parts.append(f"{coverage.allowed} allowed without a score")
    if options.verbose and report.seconds:
        parts.append(numbers.duration(report.seconds))
        parts.append(f"{coverage.rows / report.seconds:,.1f} rows/s")
    for part in parts:
        text.append(page.glyphs.dot + part, "dim not bold default")
    page.line(text)
    reasons = not_scored(report)
    if reasons:
        page.line(Text(f"not scored: {numbers.listing(reasons)}", "dim" if coverage.complete else ""))


def coverage_line(report: Report) -> str:
    """`scored N of N rows`, with plain numbers: gates search for it."""
    return f"scored {report.coverage.scored} of {report.coverage.rows} rows"


def not_scored(report: Report) -> list[str]:
    """The reasons why rows or files have no score, with counts."""
    coverage = report.coverage
    names = Counter((v.rule, v.name) for v in report.violations if v.rule in _UNSCORED_ROWS)
    reasons = [f"{count} {escape(name)} ({escape(rule)})" for (rule, name), count in sorted(names.items())]
    silent = coverage.rows - coverage.scored - sum(names.values())
    if silent > 0:
        reasons.append(f"{numbers.count(silent, 'row')} that no selected rule reports")
    if coverage.unreadable_files:
        reasons.append(f"{numbers.count(coverage.unreadable_files, 'unreadable file')} ({_UNREADABLE_FILE})")
    return reasons


def print_next_steps(page: Page, steps: Sequence[str]) -> None:
    """What to do next; commands stand in backticks."""
    if steps:
        page.line()
    for step in steps:
        page.line(Text.assemble((f"{page.glyphs.arrow} ", "cyan"), page.prose(escape(step))), hang=2)
