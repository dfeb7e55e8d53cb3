"""How much was scored, and the exit code. A gate fails closed: what has no score never passes in silence."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

from sqsd_lint.errors import ExitCode
from sqsd_lint.rules.findings import PARTIAL, is_partial, why_unscorable
from sqsd_lint.types import Coverage, Problem, ScoredRow, Severity, Violation


def count_coverage(
    rows: Iterable[ScoredRow],
    problems: Iterable[Problem],
    *,
    allow: Collection[str] = (),
    cached: int = 0,
    files: int = 0,
) -> Coverage:
    """Count rows with a score, rows without one, and files of which even the rows are unknown.

    A row of which a part was not scored is none with a score: that part may be the harmful one.

    Args:
        allow: rules whose unscored rows are accepted.
        cached: how many of the scores came from the cache.
        files: how many files were read.
    """
    total = scored = allowed = unreadable = 0
    for row in rows:
        total += 1
        gap = "SQSD301" if why_unscorable(row.score) else PARTIAL if is_partial(row) else ""
        scored += not gap
        allowed += gap in allow
    for problem in problems:
        total += problem.rows
        if problem.code in allow:
            allowed += problem.rows
        elif problem.rows == 0:
            unreadable += 1
    return Coverage(total, scored, cached, files, unreadable, allowed)


def exit_code(
    violations: Iterable[Violation], coverage: Coverage, *, fail_on: Literal["error", "warning"] = "error"
) -> ExitCode:
    """Return CANNOT_SCORE if coverage is incomplete, else VIOLATIONS if one is grave enough, else OK.

    Args:
        fail_on: the lowest severity that fails a run.
    """
    if not coverage.complete:
        return ExitCode.CANNOT_SCORE
    if any(fail_on == "warning" or violation.severity is Severity.ERROR for violation in violations):
        return ExitCode.VIOLATIONS
    return ExitCode.OK
