"""How much was scored, and the exit code. A gate fails closed: what has no score never passes in silence."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

from sqsd_lint.errors import ExitCode
from sqsd_lint.rules.findings import PARTIAL, is_partial, is_screened, why_unscorable
from sqsd_lint.types import Coverage, Problem, ScoredRow, Severity, Unlisted, Violation


class CoverageCount:
    """Counts rows with a score, rows without one, and files of which even the rows are unknown.

    A row of which a part was not scored is none with a score: that part may be the harmful one.

    Args:
        allow: rules whose unscored rows are accepted.
    """

    def __init__(self, allow: Collection[str] = ()) -> None:
        self._allow = allow
        self._rows = self._scored = self._screened = self._allowed = self._unreadable = 0

    def add(self, item: ScoredRow | Problem) -> None:
        """Count a row, or what stands in its place."""
        if isinstance(item, Problem):
            self._rows += item.rows
            if item.code in self._allow:
                self._allowed += item.rows
            elif item.rows == 0:
                self._unreadable += 1
            return
        self._rows += 1
        if is_screened(item):
            self._screened += 1
            return
        gap = "SQSD301" if why_unscorable(item.score) else PARTIAL if is_partial(item) else ""
        self._scored += not gap
        self._allowed += gap in self._allow

    def coverage(self, *, cached: int = 0, files: int = 0) -> Coverage:
        """Return the counts.

        Args:
            cached: how many of the scores came from the cache.
            files: how many files were read.
        """
        return Coverage(
            self._rows,
            self._scored,
            cached,
            files,
            self._unreadable,
            self._allowed,
            screened=self._screened,
        )


def count_coverage(
    rows: Iterable[ScoredRow],
    problems: Iterable[Problem],
    *,
    allow: Collection[str] = (),
    cached: int = 0,
    files: int = 0,
) -> Coverage:
    """Count rows and problems; see `CoverageCount`."""
    count = CoverageCount(allow)
    for row in rows:
        count.add(row)
    for problem in problems:
        count.add(problem)
    return count.coverage(cached=cached, files=files)


def exit_code(
    violations: Iterable[Violation | Unlisted],
    coverage: Coverage,
    *,
    fail_on: Literal["error", "warning"] = "error",
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
