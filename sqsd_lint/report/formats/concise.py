"""One line per finding, for editors, grep and long lists.

    data/train.jsonl:12: SQSD101 [high-risk-sample] SQSD 11.84 (p99.98) How do I get around ...
    data/extra.jsonl:3: SQSD303 [malformed-row] not JSON: expected ',' at column 41

The verdict and the coverage line follow. There is no colour and no folding.
"""

from __future__ import annotations

from typing import IO

from sqsd_lint.common import numbers
from sqsd_lint.common.escape import escape
from sqsd_lint.report import Options
from sqsd_lint.report.ranking import by_place
from sqsd_lint.report.sentences import (
    answered,
    caveat,
    coverage_line,
    coverage_notes,
    coverage_parts,
    is_scored,
    named_score,
    not_read_line,
    not_scored_line,
    row_text,
    rule_counts,
    verdict,
)
from sqsd_lint.types import Report, Violation

_CELLS = 80


def write(report: Report, stream: IO[str], options: Options) -> None:
    """Write the findings; with `statistics` one line per rule instead."""
    lines = (
        _counts(report) if options.statistics else [_line(v, options) for v in by_place(report.violations)]
    )
    if not options.quiet:
        lines += [verdict(report), *filter(None, [answered(report)])]
    if not options.quiet or not report.coverage.complete:
        lines += _coverage(report)
    elif line := not_read_line(report):
        lines.append(f"note: {line}")
    stream.writelines(f"{line}\n" for line in lines)


def _line(violation: Violation, options: Options) -> str:
    if is_scored(violation):
        scored = ", ".join(filter(None, (named_score(violation), escape(caveat(violation)))))
        said = f"{scored} {row_text(violation, options, _CELLS)}"
    else:
        said = escape(violation.message)
    place = escape(str(violation.where))
    return f"{place}: {escape(violation.rule)} [{escape(violation.name)}] {said}".rstrip()


def _counts(report: Report) -> list[str]:
    counts = rule_counts(report)
    return [
        f"{escape(rule)} [{escape(name)}] {numbers.count(count, severity.value)}"
        for (rule, name, severity), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _coverage(report: Report) -> list[str]:
    parts = ", ".join(coverage_parts(report))
    lines = [coverage_line(report) + (f" ({parts})" if parts else "")]
    lines += filter(None, [not_scored_line(report)])
    return lines + [f"note: {note}" for note in coverage_notes(report)]
