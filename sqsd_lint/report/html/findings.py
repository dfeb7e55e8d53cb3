"""The findings as the page's table shows them, the worst first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from sqsd_lint.report import Options, numbers
from sqsd_lint.report.bar import scale_of
from sqsd_lint.report.html.prose import prose
from sqsd_lint.report.ranking import score as score_of
from sqsd_lint.report.ranking import worst_first
from sqsd_lint.report.safe import escape, excerpt
from sqsd_lint.types import Head, Opinion, Violation

# More than a browser sorts and filters without a pause. The formats json and jsonl have every finding.
MOST = 2000
_EXCERPT_CELLS = 140
_TEXT = 2000
_BAR = 60.0


def finding_views(found: Sequence[Violation], head: Head, options: Options) -> list[dict[str, Any]]:
    """The MOST worst findings, each with its rank by score, by place and by rule.

    The page sorts by these ranks, so that its order never depends on the reader's language.
    """
    worst = worst_first(found)[:MOST]
    scale = scale_of(head, [v.score.sqsd for v in worst if v.score is not None])
    ranks = {
        name: _ranks(worst, key)
        for name, key in (("score", _by_score), ("place", _by_place), ("rule", _by_rule))
    }
    views = []
    for number, violation in enumerate(worst):
        score = violation.score
        percentile = numbers.percentile(violation.percentile)
        mean = percentile if violation.opinions else ""
        known = score is not None and math.isfinite(score.sqsd)
        views.append(
            {
                "number": number,
                "ranks": {name: rank[number] for name, rank in ranks.items()},
                "severity": violation.severity.value,
                "rule": escape(violation.rule),
                "name": escape(violation.name),
                "file": escape(violation.where.file),
                "line": violation.where.line,
                "score": numbers.score(score.sqsd) if score else mean,
                "percentile": "mean" if mean else percentile,
                "bar": round(scale.filled(score.sqsd) * _BAR, 1) if scale and score and known else None,
                "excerpt": "" if options.redact else excerpt(violation.excerpt, _EXCERPT_CELLS),
                "text": "" if options.redact else _text(violation.excerpt),
                "message": prose(violation.message),
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
    """The row's text with its line breaks, every line of it escaped, cut at `_TEXT` characters."""
    cut = raw[:_TEXT].replace("\r\n", "\n").rstrip("\n")
    return "\n".join(escape(line) for line in cut.split("\n")) + ("…" if len(raw) > _TEXT else "")


def _opinion(opinion: Opinion) -> tuple[str, str]:
    parts = [f"SQSD {numbers.score(opinion.score.sqsd)}", numbers.percentile(opinion.percentile)]
    parts.append(f"at or above the {opinion.line.value} line" if opinion.line else "below the lines")
    return escape(opinion.bundle), ", ".join(filter(None, parts))


def _parts(violation: Violation) -> list[tuple[str, str]]:
    """The numbers of the row view."""
    score = violation.score
    if score is None:
        return [_opinion(opinion) for opinion in violation.opinions]
    parts = [
        ("SQSD", numbers.score(score.sqsd)),
        ("danger", numbers.score(score.danger)),
        ("safety", numbers.score(score.safety)),
    ]
    if percentile := numbers.percentile(violation.percentile):
        parts.append(("percentile", f"{percentile} of benign rows"))
    parts.append(("scored", numbers.count(score.tokens, "token")))
    if score.truncated:
        lost = f", {numbers.count(score.response_lost, 'response token')} lost" if score.response_lost else ""
        parts.append(("truncated", f"{score.truncated}{lost}"))
    if score.exact:
        parts.append(("precision", "exact"))
    return parts
