"""`score`: every row's score, without a judgement."""

from __future__ import annotations

from collections.abc import Iterator

from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.run.bundle_run import Session
from sqsd_lint.run.rows import Rows, select_all
from sqsd_lint.types import Problem, ScoredRow


def score(
    settings: Settings, *, progress: Progress | None = None, notes: list[str] | None = None
) -> Iterator[ScoredRow | Problem]:
    """Every row's score, in the order of files and rows, without a judgement.

    Args:
        notes: gets what a reader has to know of the rows that were read, once they are.
    """
    session = Session(settings, progress)
    found = select_all(settings)
    yield from found.problems
    rows = Rows(found, settings, each_problem=True)
    yield from session.score_samples(rows)
    if notes is not None:
        notes += rows.notes
