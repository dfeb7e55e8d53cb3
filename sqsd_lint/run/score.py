"""`score`: every row's score, without a judgement."""

from __future__ import annotations

from collections.abc import Iterator

from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.run.bundle_run import Session
from sqsd_lint.run.rows import Rows, select_all
from sqsd_lint.types import Problem, ScoredRow


def score(settings: Settings, *, progress: Progress | None = None) -> Iterator[ScoredRow | Problem]:
    """Every row's score, in the order of files and rows, without a judgement."""
    session = Session(settings, progress)
    found = select_all(settings)
    yield from found.problems
    yield from session.score_samples(Rows(found, settings))
