"""`score --emit-spans`: every row with the spans of its answers that its score comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.explain import SpannedRow, Unit
from sqsd_lint.explain.attributed import Attributed, attributed
from sqsd_lint.explain.spans import grouped
from sqsd_lint.run.bundle_run import SHARD_ROWS, Session
from sqsd_lint.run.rows import Rows, select_all
from sqsd_lint.samples import excerpt
from sqsd_lint.types import Problem, Sample, Score

# Scores that are committed to the cache at once: what a killed run may lose.
_COMMIT = 64


def score(
    settings: Settings, unit: Unit, *, progress: Progress | None = None, notes: list[str] | None = None
) -> Iterator[SpannedRow | Problem]:
    """Every row's score and where in its answers it comes from, in the order of files and rows.

    Scores go into the cache, but none are taken from it: it holds no spans.

    Args:
        notes: gets what a reader has to know of the rows that were read.
    """
    session = Session(settings, progress)
    found = select_all(settings)
    yield from found.problems
    rows = Rows(found, settings, each_problem=True)
    rest = iter(rows)
    while shard := list(islice(rest, SHARD_ROWS)):
        yield from _spanned(session, shard, partial(_row, session, unit))
    if notes is not None:
        notes += rows.notes
    if progress:
        progress.stop()


def _spanned(
    session: Session, shard: Sequence[Sample | Problem], row: Callable[[Sample, Attributed], SpannedRow]
) -> Iterator[SpannedRow | Problem]:
    unique = {item.fingerprint: item for item in shard if isinstance(item, Sample)}
    answers: dict[str, Attributed | Problem] = {}
    fresh: list[tuple[Sample, Score]] = []
    if unique:
        if session.progress:
            session.progress.start(len(unique))
        encoder, scorer = session.engine.parts()
        for sample, one in attributed(encoder, scorer, list(unique.values()), exact=session.engine.exact):
            answers[sample.fingerprint] = one
            if isinstance(one, Attributed):
                fresh.append((sample, one.score))
            if len(fresh) == _COMMIT:
                session.engine.remember(fresh)
                fresh.clear()
            if session.progress:
                session.progress.advance(1)
    session.engine.remember(fresh)
    for item in shard:
        if isinstance(item, Problem):
            yield item
            continue
        answer = answers[item.fingerprint]
        if isinstance(answer, Problem):
            yield replace(answer, where=item.where, excerpt=excerpt(item))
        else:
            yield row(item, answer)


def _row(session: Session, unit: Unit, sample: Sample, one: Attributed) -> SpannedRow:
    return SpannedRow(session.scored_row(sample, one.score), grouped(one.tokens, sample.messages, unit))
