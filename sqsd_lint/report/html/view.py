"""What the page shows, as plain values that the template only lays out. Foreign text is escaped here."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from sqsd_lint.errors import ExitCode
from sqsd_lint.report import Options, numbers
from sqsd_lint.report.html.chart import draw
from sqsd_lint.report.html.findings import MOST, finding_views
from sqsd_lint.report.html.prose import prose
from sqsd_lint.report.rows import scores_by_bundle
from sqsd_lint.report.safe import escape
from sqsd_lint.report.summary import (
    answered,
    coverage_line,
    coverage_parts,
    in_files,
    not_scored,
    severity_counts,
    tried,
    verdict,
)
from sqsd_lint.types import Head, Line, Report, Severity

_MEANING = {
    ExitCode.OK: "nothing fails the run",
    ExitCode.VIOLATIONS: "violations fail the run",
    ExitCode.USAGE: "wrong usage or configuration",
    ExitCode.CANNOT_SCORE: "something could not be scored",
}


def page_view(report: Report, options: Options) -> dict[str, Any]:
    """The variables of `page.html.jinja`."""
    found = () if options.statistics else report.violations
    rules = Counter((v.rule, v.name, v.severity) for v in report.violations)
    severities = Counter(v.severity for v in report.violations)
    return {
        "verdict": _verdict(report),
        "coverage": _coverage(report),
        "bundles": [
            {"facts": _facts(head), "lines": _lines(head)} for head in report.head.bundles or (report.head,)
        ],
        "notes": [prose(note) for note in report.head.notes],
        "next_steps": [prose(step) for step in report.next_steps],
        "tried": tried(report),
        "distributions": [
            view for name, head, scores in scores_by_bundle(report) if (view := _picture(name, head, scores))
        ],
        "findings": finding_views(found, report.head, options),
        "found": len(report.violations),
        "most": MOST,
        "listed": not options.statistics,
        "rules": [
            {"code": escape(code), "name": escape(name), "severity": severity.value, "count": count}
            for (code, name, severity), count in sorted(rules.items(), key=lambda item: item[0][:2])
        ],
        "severities": [(each.value, severities[each]) for each in Severity if severities[each]],
    }


def _verdict(report: Report) -> dict[str, str]:
    """The headline, what goes on beside it, and the state that gives it its colour."""
    if report.violations:
        headline, rest = " and ".join(text for _, text in severity_counts(report)), in_files(report)
    else:
        headline, _, rest = verdict(report).rstrip(".").partition(": ")
    code = ExitCode(report.exit_code)
    state = "failed" if code is not ExitCode.OK else "warned" if report.violations else "clear"
    meaning = f"exit code {code.value}: {_MEANING[code]}"
    return {"headline": headline, "rest": rest, "state": state, "exit": meaning}


def _coverage(report: Report) -> dict[str, Any]:
    return {
        "line": coverage_line(report),
        "complete": report.coverage.complete,
        "parts": coverage_parts(report),
        "reasons": not_scored(report),
        "answered": answered(report),
        "notes": [prose(note) for note in report.coverage.notes],
    }


def _facts(head: Head) -> list[tuple[str, str]]:
    facts = [
        ("base model", head.base_model),
        ("bundle", head.bundle_id),
        ("digest", head.bundle_digest),
        ("metric", head.metric),
        ("expansion", head.expansion),
        ("dtype", head.dtype),
        ("device", head.device),
    ]
    return [(label, escape(value)) for label, value in facts]


def _lines(head: Head) -> list[dict[str, str]]:
    both = ((Severity.ERROR, head.error_line), (Severity.WARNING, head.warning_line))
    return [
        {"severity": severity.value, "value": numbers.score(line.value), "text": _line_text(line)}
        for severity, line in both
        if line
    ]


def _line_text(line: Line) -> str:
    shares = [
        f"{numbers.share(share)} of {rows} rows"
        for share, rows in ((line.harmful_share, "known-harmful"), (line.benign_share, "benign"))
        if share is not None
    ]
    return f"{escape(line.spec)}: {numbers.listing(shares) if shares else 'not calibrated'}"


def _picture(name: str, head: Head, scores: list[float]) -> dict[str, Any] | None:
    """The distribution of one bundle's scores, None where there is none."""
    known = [score for score in scores if math.isfinite(score)]
    charts = [
        (size, chart)
        for size, width, height, bins in (("wide", 760, 300, 76), ("narrow", 340, 260, 34))
        if (chart := draw(known, head, width=width, height=height, bins=bins))
    ]
    return {"name": escape(name), "charts": charts, "text": _distribution(known, head)} if charts else None


def _distribution(scores: list[float], head: Head) -> str:
    """The picture in words, for those who do not see it."""
    if not scores:
        return ""
    ordered = sorted(scores)
    # A median that is nothing beside the extent of the scores reads as nothing, not as 8.01e-03.
    least = 1e-3 * (ordered[-1] - ordered[0])
    named = {"lowest": ordered[0], "median": ordered[len(ordered) // 2], "highest": ordered[-1]}
    figures = [f"{name} {numbers.score(v if abs(v) > least else 0.0)}" for name, v in named.items()]
    parts = [f"{numbers.count(len(ordered), 'row')}: {', '.join(figures)}"]
    for severity, line in ((Severity.ERROR, head.error_line), (Severity.WARNING, head.warning_line)):
        if line:
            above = sum(score >= line.value for score in ordered)
            parts.append(f"{above:,} at or above the {severity.value} line")
    return "; ".join(parts)
