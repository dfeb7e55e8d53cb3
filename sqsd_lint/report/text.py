"""The report for people: head, findings file by file, summary, coverage, what to do next."""

from __future__ import annotations

from typing import IO

from sqsd_lint.report import Options
from sqsd_lint.report.bar import scale_of
from sqsd_lint.report.closing import print_coverage, print_next_steps, print_verdict
from sqsd_lint.report.findings import print_findings
from sqsd_lint.report.head import print_head
from sqsd_lint.report.page import open_page
from sqsd_lint.report.statistics import print_statistics
from sqsd_lint.report.summary import tried
from sqsd_lint.types import Report


def write(report: Report, stream: IO[str], options: Options) -> None:
    """Prints `report`; every piece of foreign text is escaped on the way (`report.safe`)."""
    page = open_page(stream, options.width)
    scores = [v.score.sqsd for v in report.violations if v.score is not None]
    scale = scale_of(report.head, scores)

    if not options.quiet:
        print_head(page, report.head, scale)
    if options.statistics:
        print_statistics(page, report)
    else:
        print_findings(page, report.violations, scale, options)
    if options.quiet:
        if not report.coverage.complete:
            print_coverage(page, report, options)
        return
    print_verdict(page, report)
    print_coverage(page, report, options)
    print_next_steps(page, report.next_steps, tried(report))
