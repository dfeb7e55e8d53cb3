"""What the page shows, as plain values that the template only lays out. Foreign text is escaped here.

The findings as the page's table shows them, the worst first.

Sentences in which commands stand in backticks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqsd_lint.common import numbers
from sqsd_lint.common.escape import escape, excerpt
from sqsd_lint.errors import ExitCode
from sqsd_lint.report import Options
from sqsd_lint.report.formats.html.chart import draw
from sqsd_lint.report.grouping import grouped
from sqsd_lint.report.ranking import score as score_of
from sqsd_lint.report.ranking import worst_first
from sqsd_lint.report.rows import scores_by_bundle
from sqsd_lint.report.sentences import (
    answered,
    counts_by_severity,
    coverage_line,
    coverage_parts,
    in_files,
    not_scored,
    raw_coverage_notes,
    rule_counts,
    severity_counts,
    validation_line,
    verdict,
)
from sqsd_lint.report.style.bar import scale_of
from sqsd_lint.rules.findings import score_name
from sqsd_lint.types import Head, Opinion, Report, Severity, Threshold, Violation


def prose(text: str) -> list[tuple[str, bool]]:
    """Return the escaped pieces of a sentence, each with whether it stood in backticks."""
    return [(part, bool(at % 2)) for at, part in enumerate(escape(text).split("`")) if part]


# More than a browser sorts and filters without a pause. The formats json and jsonl have every finding.
MOST = 2000
_EXCERPT_CELLS = 140
_TEXT = 2000
_BAR = 60.0


def finding_views(found: Sequence[Violation], head: Head, options: Options) -> list[dict[str, Any]]:
    """Return the MOST worst findings, each with its rank by score, by place and by rule.

    The page sorts by these ranks, so that its order never depends on the reader's language.
    """
    groups = grouped(worst_first(found)[:MOST])
    worst = [group.first for group in groups]
    scale = scale_of(head, [v.score.risk for v in worst if v.score is not None])
    ranks = {
        name: _ranks(worst, key)
        for name, key in (("score", _by_score), ("place", _by_place), ("rule", _by_rule))
    }
    views = []
    for number, violation in enumerate(worst):
        score = violation.score
        percentile = numbers.percentile(violation.percentile)
        mean = percentile if violation.opinions else ""
        known = score is not None and math.isfinite(score.risk)
        views.append(
            {
                "number": number,
                "ranks": {name: rank[number] for name, rank in ranks.items()},
                "severity": violation.severity.value,
                "rule": escape(violation.rule),
                "name": escape(violation.name),
                "file": escape(violation.where.file),
                "line": violation.where.line,
                "score": numbers.score(score.risk) if score else mean,
                "percentile": "mean" if mean else percentile,
                "bar": round(scale.filled(score.risk) * _BAR, 1) if scale and score and known else None,
                "excerpt": "" if options.redact else excerpt(violation.excerpt, _EXCERPT_CELLS),
                "text": "" if options.redact else _text(violation.excerpt),
                "message": prose(violation.message),
                "places": escape(groups[number].places),
                "hint": prose(violation.hint),
                "fingerprint": escape(violation.fingerprint),
                "parts": _parts(violation),
            }
        )
    return views


def _by_score(violation: Violation) -> tuple[Any, ...]:
    return (-score_of(violation), _by_place(violation))


def _by_place(violation: Violation) -> tuple[Any, ...]:
    where = violation.where
    return (where.file, where.line, where.index, violation.rule)


def _by_rule(violation: Violation) -> tuple[Any, ...]:
    return (violation.rule, _by_score(violation))


def _ranks(found: Sequence[Violation], key: Callable[[Violation], Any]) -> list[int]:
    ranks = [0] * len(found)
    for rank, number in enumerate(sorted(range(len(found)), key=lambda number: key(found[number]))):
        ranks[number] = rank
    return ranks


def _text(raw: str) -> str:
    """Return the row's text with its line breaks, every line of it escaped, cut at `_TEXT` characters."""
    cut = raw[:_TEXT].replace("\r\n", "\n").rstrip("\n")
    return "\n".join(escape(line) for line in cut.split("\n")) + ("…" if len(raw) > _TEXT else "")


def _opinion(opinion: Opinion) -> tuple[str, str]:
    parts = [
        f"{score_name(opinion.score)} {numbers.score(opinion.score.risk)}",
        numbers.percentile(opinion.percentile),
    ]
    parts.append(f"at or above the {opinion.level.value} line" if opinion.level else "below the lines")
    return escape(opinion.bundle), ", ".join(filter(None, parts))


def _parts(violation: Violation) -> list[tuple[str, str]]:
    """Return the numbers of the row view."""
    score = violation.score
    if score is None:
        return [_opinion(opinion) for opinion in violation.opinions]
    parts = [
        *([("risk", numbers.score(score.risk))] if not score.is_sqsd_alone else []),
        ("SQSD", numbers.score(score.sqsd)),
        ("danger", numbers.score(score.danger)),
        ("safety", numbers.score(score.safety)),
        *([("harm", numbers.score(score.harm))] if score.harm is not None else []),
    ]
    if percentile := numbers.percentile(violation.percentile):
        parts.append(("percentile", f"{percentile} of benign rows"))
    parts.append(("scored", numbers.count(score.tokens, "token")))
    if score.window:
        parts.append(("part" if score.part else "of a long answer", str(score.window)))
    if score.truncated:
        lost = f", {numbers.count(score.response_lost, 'response token')} lost" if score.response_lost else ""
        parts.append(("truncated", f"{score.truncated}{lost}"))
    if score.exact:
        parts.append(("precision", "exact"))
    return parts


_MEANING = {
    ExitCode.OK: "nothing fails the run",
    ExitCode.VIOLATIONS: "violations fail the run",
    ExitCode.USAGE: "wrong usage or configuration",
    ExitCode.CANNOT_SCORE: "something could not be scored",
}


def page_view(report: Report, options: Options) -> dict[str, Any]:
    """Return the variables of `page.html.jinja`."""
    found = () if options.statistics else report.violations
    rules, severities = rule_counts(report), counts_by_severity(report)
    return {
        "verdict": _verdict(report),
        "coverage": _coverage(report),
        "bundles": [
            {"facts": _facts(head), "lines": _lines(head)} for head in report.head.bundles or (report.head,)
        ],
        "notes": [prose(note) for note in report.head.notes],
        "next_steps": [prose(step) for step in report.next_steps],
        "tried": validation_line(report),
        "distributions": [
            view for name, head, scores in scores_by_bundle(report) if (view := _picture(name, head, scores))
        ],
        "findings": finding_views(found, report.head, options),
        "found": severities.total(),
        "most": MOST,
        "listed": not options.statistics,
        "rules": [
            {"code": escape(code), "name": escape(name), "severity": severity.value, "count": count}
            for (code, name, severity), count in sorted(rules.items(), key=lambda item: item[0][:2])
        ],
        "severities": [(each.value, severities[each]) for each in Severity if severities[each]],
    }


def _verdict(report: Report) -> dict[str, str]:
    """Return the headline, what goes on beside it, and the state that gives it its colour."""
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
        "notes": [prose(note) for note in raw_coverage_notes(report)],
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
    both = ((Severity.ERROR, head.error_threshold), (Severity.WARNING, head.warning_threshold))
    return [
        {"severity": severity.value, "value": numbers.score(line.value), "text": _line_text(line)}
        for severity, line in both
        if line
    ]


def _line_text(line: Threshold) -> str:
    shares = [
        f"{numbers.share(share)} of {rows} rows"
        for share, rows in ((line.harmful_share, "known-harmful"), (line.benign_share, "benign"))
        if share is not None
    ]
    return f"{escape(line.spec)}: {numbers.listing(shares) if shares else 'not calibrated'}"


def _picture(name: str, head: Head, scores: Mapping[float, int]) -> dict[str, Any] | None:
    """Return the distribution of one bundle's scores, None where there is none."""
    known = {score: count for score, count in scores.items() if math.isfinite(score)}
    charts = [
        (size, chart)
        for size, width, height, bins in (("wide", 760, 300, 76), ("narrow", 340, 260, 34))
        if (chart := draw(known, head, width=width, height=height, bins=bins))
    ]
    return {"name": escape(name), "charts": charts, "text": _distribution(known, head)} if charts else None


def _distribution(scores: Mapping[float, int], head: Head) -> str:
    """Return the picture in words, for those who do not see it."""
    if not scores:
        return ""
    ordered = sorted(scores)
    # A median that is nothing beside the extent of the scores reads as nothing, not as 8.01e-03.
    least = 1e-3 * (ordered[-1] - ordered[0])
    rows, below = sum(scores.values()), 0
    median = next(score for score in ordered if (below := below + scores[score]) > rows // 2)
    named = {"lowest": ordered[0], "median": median, "highest": ordered[-1]}
    figures = [f"{name} {numbers.score(v if abs(v) > least else 0.0)}" for name, v in named.items()]
    parts = [f"{numbers.count(rows, 'row')}: {', '.join(figures)}"]
    for severity, line in (
        (Severity.ERROR, head.error_threshold),
        (Severity.WARNING, head.warning_threshold),
    ):
        if line:
            above = sum(count for score, count in scores.items() if score >= line.value)
            parts.append(f"{above:,} at or above the {severity.value} line")
    return "; ".join(parts)
