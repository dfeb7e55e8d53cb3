"""The two orders of findings: by place, and the worst first for formats that show only so many."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sqsd_lint.rules.consensus import Consensus
from sqsd_lint.types import Severity, Violation


def by_place(violations: Iterable[Violation]) -> list[Violation]:
    """File by file in order of first appearance, in a file by line."""
    found = list(violations)
    files = {file: place for place, file in enumerate(dict.fromkeys(v.where.file for v in found))}
    return sorted(found, key=lambda v: (files[v.where.file], v.where.line, v.where.index, v.rule))


def worst_first(violations: Iterable[Violation]) -> list[Violation]:
    """Errors before warnings; in each what concerns a whole file, then by falling score, then by place.

    A finding about a file stands for many rows, so it is not to be crowded out by single ones. Rows
    without a score come last.
    """
    return sorted(violations, key=_key)


def _key(violation: Violation) -> tuple[bool, bool, float, str, int, int, str]:
    where = violation.where
    return (
        violation.severity is not Severity.ERROR,
        where.line > 0,
        -score(violation),
        where.file,
        where.line,
        where.index,
        violation.rule,
    )


def score(violation: Violation) -> float:
    """Return the finding's SQSD, of several bundles the mean percentile, minus infinity without one."""
    if violation.opinions:
        value = Consensus.of(violation).mean_percentile
    else:
        value = violation.score.risk if violation.score is not None else None
    return value if value is not None and math.isfinite(value) else -math.inf
