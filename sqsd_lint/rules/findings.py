"""Violations, made from rows, problems and files: their words, their identity, and the order of a report."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

from sqsd_lint.rules.registry import RULES
from sqsd_lint.rules.threshold import clear_percentile, reaches
from sqsd_lint.types import Problem, Score, ScoredRow, Severity, Threshold, Violation, Where

if TYPE_CHECKING:
    from sqsd_lint.rules.policy import Policy


def why_unscorable(score: Score) -> str:
    """Return why a score must not be compared with a threshold, or "" if it may.

    A comparison with NaN is false, so such a row would pass every threshold in silence; so would one
    without a response or without an update, whose score is 0 whatever its text. A screened row has a bound
    on its risk, which may be compared.
    """
    if score.bound is not None:
        return ""
    if score.tokens <= 0:
        return "the row has no response tokens"
    if not all(map(math.isfinite, (score.danger, score.safety, score.sqsd, score.risk))):
        return f"the score is not finite (danger {score.danger}, safety {score.safety}, SQSD {score.sqsd})"
    if score.danger == 0.0:
        return "the row's update is zero, so it has no direction"
    return ""


# The rule whose findings mean that a row was scored in part.
PARTIAL = "SQSD302"


def is_partial(row: ScoredRow) -> bool:
    """Tell whether a part of what the row trains on was not scored, by one of its bundles at least."""
    return any(score.response_lost > 0 for score in row.scores)


def is_screened(row: ScoredRow) -> bool:
    """Tell whether a row was passed by, its risk being below the lines: it has a bound, and no score."""
    return row.score.bound is not None


def of_row(
    code: str, severity: Severity, message: str, row: ScoredRow, percentile: float | None = None
) -> Violation:
    """Make a finding about one row."""
    rule = RULES[code]
    return Violation(
        rule=code,
        name=rule.name,
        severity=severity,
        where=row.where,
        message=message,
        fingerprint=row.fingerprint,
        excerpt=row.excerpt,
        hint=rule.hint,
        score=row.score,
        percentile=percentile,
    )


def of_problem(problem: Problem, severity: Severity) -> Violation:
    """Make a finding about a row or file without a score."""
    rule = RULES[problem.code]
    return Violation(
        rule=problem.code,
        name=rule.name,
        severity=severity,
        where=problem.where,
        message=problem.message,
        fingerprint=problem.fingerprint,
        excerpt=problem.excerpt,
        hint=problem.hint or rule.hint,
    )


def of_file(code: str, severity: Severity, message: str, file: str, fingerprint: str = "") -> Violation:
    """Make a finding about a file as a whole."""
    rule = RULES[code]
    return Violation(code, rule.name, severity, Where(file, 0, -1), message, fingerprint, hint=rule.hint)


def rows_fingerprint(fingerprints: Iterable[str]) -> str:
    """Return the identity of a finding that rests on several rows, in whatever order: 32 hex digits.

    A row that occurs twice counts twice: a finding that rests on one row more is another finding.
    """
    text = "\n".join(sorted(fingerprints))
    return blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=16, person=b"sqsd-lint/rows/1"
    ).hexdigest()


def combined_fingerprint(fingerprints: Iterable[str]) -> str:
    """Return the identity of a finding that several bundles rest on different rows: 32 hex digits.

    Where they rest it on the same rows it is the finding that each of them has alone.
    """
    distinct = sorted(set(fingerprints))
    if len(distinct) == 1:
        return distinct[0]
    return blake2b("\n".join(distinct).encode(), digest_size=16, person=b"sqsd-lint/rows/2").hexdigest()


def in_order(violations: Iterable[Violation], files: Sequence[str] = ()) -> list[Violation]:
    """Sort by file, line and rule, whatever the order was.

    Args:
        files: the files in the order in which the report shows them; others follow by name.
    """
    order = {file: position for position, file in reversed(list(enumerate(files)))}
    return sorted(
        violations,
        key=lambda violation: (
            order.get(violation.where.file, len(order)),
            violation.where.file,
            violation.where.line,
            violation.where.index,
            violation.rule,
            violation.message,
            violation.fingerprint,
        ),
    )


def above_threshold(
    kind: Severity, row: ScoredRow, threshold: Threshold, others: Iterable[Threshold | None] = ()
) -> str:
    """Put into words that a row is at or above a threshold.

    Args:
        others: further thresholds of the run, which the percentile in the text must not be mistaken for.
    """
    percentile = clear_percentile(row.score.risk, row.percentile, others)
    rank = "" if percentile is None else f" ({rank_text(percentile)})"
    spec = f" ({threshold.spec})" if threshold.spec[0] in "phz" else ""
    score, value = score_text(row.score.risk), score_text(threshold.value)
    window = f" in {row.score.window}" if row.score.window else ""
    return f"{score_name(row.score)} {score}{rank} is at or above the {kind.value} line {value}{spec}{window}"


# What stands between the comparison with a threshold and why it is no error.
CAVEAT = "; "


def why_no_error(row: ScoredRow, threshold: Threshold, policy: Policy) -> str:
    """Return why a row at or above a threshold is no error on its score alone, "" if it is one.

    A rate of false alarms says nothing of rows unlike all benign reference rows, nor of a part of a row: the
    reference rows were scored as a whole. A raw threshold is no rate.
    """
    calibration = policy.calibration
    if calibration is None or threshold.spec[0] not in "phz":
        return ""
    if row.score.part and not reaches(row.score.of_row, threshold):
        return "a part alone is no error"
    if calibration.covered is None:
        return ""
    unlike = calibration.covered.unlike(row.score.tokens, row.score.loss, row.excerpt, row.form)
    return f"{unlike}, so that it is no error on its score alone" if unlike else ""


def score_name(score: Score) -> str:
    """Return what thresholds are compared with: "SQSD", or "risk" where the bundle makes more of it."""
    return "SQSD" if score.is_sqsd_alone else "risk"


def score_text(value: float) -> str:
    """Return two decimals, or three digits for the small scores of `dot` and `projection`."""
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3g}"


def rank_text(percentile: float) -> str:
    """Return `p99.9`: at most two decimals, never rounded up: p100 is for scores above every benign row."""
    return f"p{math.floor(percentile * 100) / 100:g}"


def rows_text(count: int) -> str:
    """Return `1 row` or `1,000 rows`."""
    return f"{count:,} row{'' if count == 1 else 's'}"


def read_file_step(code: str) -> Callable[[int], str]:
    """Return the next step about so many files with a finding of a rule."""

    def step(count: int) -> str:
        files = f"{count:,} file{'' if count == 1 else 's'}"
        return f"Read the highest-scoring rows of {files}: `sqsd-lint rule {code}`."

    return step
