"""The report for people: head, findings file by file, summary, coverage, what to do next.

The findings of the text report, file by file.

The end of the text report: the verdict, the coverage line, what to do next.

`--statistics`: how often each rule was broken, and how the scores are distributed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

from rich.text import Text

from sqsd_lint.common import numbers
from sqsd_lint.common.escape import escape, excerpt
from sqsd_lint.report import Options
from sqsd_lint.report.grouping import FindingGroup, grouped
from sqsd_lint.report.head import STYLES, bar_width, mark, print_details, print_head
from sqsd_lint.report.rows import scores_by_bundle
from sqsd_lint.report.sentences import (
    answered,
    caveat,
    coverage_line,
    coverage_notes,
    coverage_parts,
    in_files,
    is_clear,
    not_read_line,
    not_scored_line,
    opinion_text,
    rule_counts,
    severity_counts,
    validation_line,
    verdict,
)
from sqsd_lint.report.style.bar import Histogram, Scale, bar, histogram, rows, scale_of
from sqsd_lint.report.style.page import Page, open_page
from sqsd_lint.rules.registry import RULES
from sqsd_lint.types import Head, Opinion, Report, Score, Severity, Violation

_HEIGHT = 5
_MARGIN = 2


def print_statistics(page: Page, report: Report) -> None:
    """Print one row per rule, the most frequent first, then a histogram of all scores with the lines."""
    counts = rule_counts(report)
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
        marks = [line.value for line in (head.warning_threshold, head.error_threshold) if line]
        found = histogram(scores, bins=page.width - 2 * _MARGIN, marks=marks)
        if found:
            by = f" by {escape(name)}" if name else ""
            page.line(Text(f"SQSD of {numbers.count(sum(scores.values()), 'row')}{by}", "dim"))
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
    for line in (head.error_threshold, head.warning_threshold):
        if line:
            axis[found.column(line.value)] = page.glyphs.tick
            labels.insert(0, (found.column(line.value), numbers.score(line.value)))
    page.line(Text(" " * _MARGIN + "".join(axis), "dim"))
    page.line(Text(" " * _MARGIN + _labels(labels, columns), "dim"))


def _style(found: Histogram, column: int, head: Head) -> str:
    """Return the colour of the severity that rows in this bin get."""
    if head.error_threshold and column >= found.column(head.error_threshold.value):
        return "red"
    if head.warning_threshold and column >= found.column(head.warning_threshold.value):
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
    """Print what such rows cost when they were tried, and what to do next; commands stand in backticks."""
    if steps or tried:
        page.line()
    if tried:
        page.line(Text.assemble(("tried: ", "cyan"), tried), hang=7)
    for step in steps:
        page.line(Text.assemble((f"{page.glyphs.arrow} ", "cyan"), page.prose(escape(step))), hang=2)


def print_findings(
    page: Page, violations: Sequence[Violation], scale: Scale | None, options: Options
) -> None:
    """Print a header per file, in order of first appearance, and its findings by line, one of a kind."""
    files: dict[str, list[Violation]] = {}
    for violation in violations:
        files.setdefault(violation.where.file, []).append(violation)
    name_width = max((len(v.name) for v in violations), default=0)
    place_width = max((len(_place(v)) for v in violations), default=0)
    indent = 2 + place_width + 2
    for file, found in files.items():
        page.line(Text(escape(file), "bold"))
        found.sort(key=lambda v: (v.where.line, v.where.index, v.rule))
        groups = [FindingGroup(v) for v in found] if options.verbose else grouped(found)
        for group, following in zip(groups, [*groups[1:], None], strict=True):
            violation = group.first
            page.line(_row(page, violation, place_width, name_width, scale))
            if group.rest:
                page.line(Text(group.places, "bold"), indent)
            _print_message(page, violation, indent, options)
            # Two rules on one row: its text once, below the second.
            if following is None or following.first.where != violation.where:
                _print_row(page, violation, indent, options)
        page.line()


def _place(violation: Violation) -> str:
    return violation.where.place or "file"


def _row(page: Page, violation: Violation, place_width: int, name_width: int, scale: Scale | None) -> Text:
    colour = STYLES[violation.severity]
    text = Text.assemble(
        f"  {_place(violation):>{place_width}}  ",
        mark(page, violation.severity),
        (f" {escape(violation.rule)}", f"bold {colour}"),
        f"  {escape(violation.name):<{name_width}}",
    )
    score = violation.score
    if score is not None and RULES.is_row_risk(violation.rule):
        text.append(f"  {numbers.score(score.risk):>8}", "bold")
        text.append(f"  {numbers.percentile(violation.percentile):<7}", "dim")
        if scale:
            full, track = bar(scale.filled(score.risk), bar_width(page), page.glyphs)
            text.append("  ").append(full, colour).append(track, "dim")
    elif violation.opinions and RULES.is_row_risk(violation.rule):
        mean = numbers.percentile(violation.percentile)
        text.append(f"  mean {mean}" if mean else "", "bold")
    text.rstrip()
    return text


def _print_message(page: Page, violation: Violation, indent: int, options: Options) -> None:
    if RULES.is_row_risk(violation.rule) and not options.verbose:
        if violation.opinions:
            page.line(_opinions(page, violation.opinions), indent)
        elif violation.score is not None:
            part = _part(violation.score) if violation.score.part else ""
            if said := "; ".join(filter(None, (part, escape(caveat(violation))))):
                page.line(Text(said, "dim"), indent)
        if violation.opinions or violation.score is not None:
            return
    page.line(Text(escape(violation.message)), indent)
    if violation.hint:
        page.line(Text.assemble(("help: ", "cyan"), page.prose(escape(violation.hint))), indent, hang=6)


def _part(score: Score) -> str:
    """`by the worst of 4 parts: response tokens 1 to 64 of 200, in trained turn 1; the whole row: 2.53`."""
    return f"by {score.part}; the whole row: {numbers.score(score.of_row.risk)}"


def _print_row(page: Page, violation: Violation, indent: int, options: Options) -> None:
    """Print what is known of the row itself: how its score came about, and its text."""
    if options.verbose and violation.score is not None:
        page.line(Text(page.glyphs.dot.join(_parts(violation.score)), "dim"), indent)
    for opinion in violation.opinions if options.verbose else ():
        parts = [opinion_text(opinion), *_parts(opinion.score)]
        page.line(Text(page.glyphs.dot.join(parts), "dim"), indent)
    if violation.fingerprint and (options.verbose or options.redact):
        page.line(Text(f"fingerprint {escape(violation.fingerprint)}", "dim"), indent)
    if violation.excerpt and not options.redact:
        room = page.excerpt_width - indent - len(page.glyphs.gutter) - 1
        shown = excerpt(violation.excerpt, room, page.glyphs.ellipsis)
        # The gutter also keeps a row's text from ever opening a line of a log.
        page.line(Text(f"{page.glyphs.gutter} {shown}", "dim"), indent)


def _opinions(page: Page, opinions: Sequence[Opinion]) -> Text:
    """`2 of 3 bundles find it risky: ✗ qwen p99.98 · ! smol p99.3 · llama p97.4`."""
    risky = [escape(opinion.bundle) for opinion in opinions if opinion.level is not None]
    alone = len(risky) == 1 < len(opinions)
    who = f"only {risky[0]} finds" if alone else f"{len(risky)} of {len(opinions)} bundles find"
    text = Text(f"{who} it risky: ")
    for place, opinion in enumerate(opinions):
        text.append(page.glyphs.dot if place else "", "dim")
        if opinion.level is not None:
            text.append_text(Text.assemble(mark(page, Severity(opinion.level)))).append(" ")
        text.append(opinion_text(opinion))
    return text


def _parts(score: Score) -> list[str]:
    parts = [
        f"danger {numbers.score(score.danger)}",
        f"safety {numbers.score(score.safety)}",
        numbers.count(score.tokens, "token"),
    ]
    if score.window:
        parts.append(f"{score.window.name} {score.window.number} of {score.window.count}")
    if score.truncated:
        parts.append(f"truncated: {score.truncated}")
    if score.exact:
        parts.append("exact")
    return parts


def write(report: Report, stream: IO[str], options: Options) -> None:
    """Print `report`; every piece of foreign text is escaped on the way (`report.safe`)."""
    page = open_page(stream, options.width)
    scores = [v.score.risk for v in report.violations if v.score is not None]
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
        elif line := not_read_line(report):
            page.line(Text.assemble(("note: ", "cyan"), line), hang=6)
        return
    print_details(page, report.head)
    if report.head.details:
        page.line()
    print_verdict(page, report)
    print_coverage(page, report, options)
    print_next_steps(page, report.next_steps, validation_line(report))
