"""`--statistics`: how often each rule was broken, and how the scores are distributed."""

from __future__ import annotations

from collections import Counter

from rich.text import Text

from sqsd_lint.report import numbers
from sqsd_lint.report.head import STYLES, mark
from sqsd_lint.report.histogram import Histogram, histogram, rows
from sqsd_lint.report.page import Page
from sqsd_lint.report.rows import scores_by_bundle
from sqsd_lint.report.safe import escape
from sqsd_lint.types import Head, Report

_HEIGHT = 5
_MARGIN = 2


def print_statistics(page: Page, report: Report) -> None:
    """Prints one row per rule, the most frequent first, then a histogram of all scores with the lines."""
    counts = Counter((v.rule, v.name, v.severity) for v in report.violations)
    width = max((len(str(count)) for count in counts.values()), default=0)
    for (rule, name, severity), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        text = Text.assemble(
            (f"{' ' * _MARGIN}{count:>{width}}  ", "bold"),
            mark(page, severity),
            (f" {escape(rule)}", f"bold {STYLES[severity]}"),
            f"  {escape(name)}",
        )
        page.line(text)
    if counts:
        page.line()
    for name, head, scores in scores_by_bundle(report):
        marks = [line.value for line in (head.warning_line, head.error_line) if line]
        found = histogram(scores, bins=page.width - 2 * _MARGIN, marks=marks)
        if found:
            by = f" by {escape(name)}" if name else ""
            page.line(Text(f"SQSD of {numbers.count(len(scores), 'row')}{by}", "dim"))
            _print_histogram(page, found, head)
            page.line()


def _print_histogram(page: Page, found: Histogram, head: Head) -> None:
    for row in rows(found.counts, _HEIGHT, page.glyphs):
        text = Text(" " * _MARGIN)
        for column, char in enumerate(row):
            text.append(char, _style(found, column, head))
        text.rstrip()
        page.line(text)
    columns = len(found.counts)
    axis = [page.glyphs.track] * columns
    labels = [(0, numbers.score(found.low)), (columns - 1, numbers.score(found.high))]
    for line in (head.error_line, head.warning_line):
        if line:
            axis[found.column(line.value)] = page.glyphs.tick
            labels.insert(0, (found.column(line.value), numbers.score(line.value)))
    page.line(Text(" " * _MARGIN + "".join(axis), "dim"))
    page.line(Text(" " * _MARGIN + _labels(labels, columns), "dim"))


def _style(found: Histogram, column: int, head: Head) -> str:
    """The colour of the severity that rows in this bin get."""
    if head.error_line and column >= found.column(head.error_line.value):
        return "red"
    if head.warning_line and column >= found.column(head.warning_line.value):
        return "yellow"
    return "cyan"


def _labels(labels: list[tuple[int, str]], columns: int) -> str:
    """One row of labels, each centred below its column; one that would touch an earlier one is left out."""
    out = [" "] * columns
    for column, label in labels:
        start = min(max(column - len(label) // 2, 0), columns - len(label))
        around = out[max(start - 1, 0) : start + len(label) + 1]
        if all(char == " " for char in around):
            out[start : start + len(label)] = label
    return "".join(out).rstrip()
