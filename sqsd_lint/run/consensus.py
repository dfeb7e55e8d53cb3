"""Several opinions: the same rows scored with several bundles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.errors import BundleError, UsageError
from sqsd_lint.rules import load_pack
from sqsd_lint.rules.consensus import Consensus, Opinion
from sqsd_lint.rules.findings import why_unscorable
from sqsd_lint.run.bundle_run import Session
from sqsd_lint.run.panel import open_sessions
from sqsd_lint.run.rows import Rows, select_all
from sqsd_lint.types import Problem, ScoredRow


def score(
    settings: Sequence[Settings], *, progress: Progress | None = None, notes: list[str] | None = None
) -> Iterator[Consensus | Problem]:
    """Every row's scores with several bundles, in the order of files and rows.

    One bundle after the other scores all rows, so that one model is in memory at a time; what the first ones
    said is kept until the last one has spoken. A row that one bundle cannot score is a Problem: an opinion
    that is missing is no agreement.

    Args:
        settings: two or more, alike but for what names the bundle (`bundle`, `model`, `proxy`).
        notes: gets what a reader has to know of the rows that were read.

    Raises:
        UsageError: fewer than two, standard input (it cannot be read twice), or one bundle named twice.
    """
    if len(settings) < 2:
        raise UsageError("a consensus needs two bundles or more", hint="give --bundle several times")
    if "-" in settings[0].paths:
        raise UsageError("several bundles cannot read standard input one after the other", hint="name a file")
    sessions = open_sessions(settings, progress)
    said = [_opinions(session, name, notes) for name, session in sessions.items()]
    earlier = [list(each) for each in said[:-1]]
    for items in zip(*earlier, said[-1], strict=True):
        yield _together(items)


_Said = tuple[ScoredRow, Opinion] | Problem


def _together(items: Sequence[_Said]) -> Consensus | Problem:
    for item in items:
        if isinstance(item, Problem):
            return item
    said = [item for item in items if not isinstance(item, Problem)]
    rows = [row for row, _ in said]
    if len({row.fingerprint for row in rows}) > 1:
        raise UsageError(f"{rows[0].where.file} changed while it was read", hint="run the command again")
    return Consensus(rows[0].where, rows[0].fingerprint, rows[0].excerpt, tuple(o for _, o in said))


def _opinions(session: Session, name: str, notes: list[str] | None) -> Iterator[_Said]:
    line = _lowest_line(session)
    found = select_all(session.settings)
    yield from found.problems
    fresh = Rows(found, session.settings, each_problem=True)
    for item in session.score_samples(fresh):
        if isinstance(item, Problem):
            yield replace(item, message=f"{name}: {item.message}") if item.code == "SQSD301" else item
        elif reason := why_unscorable(item.score):
            yield Problem("SQSD301", item.where, f"{name}: {reason}", "", item.excerpt, item.fingerprint)
        else:
            risky = None if line is None else item.score.sqsd >= line
            yield item, Opinion(name, item.score, item.percentile, risky)
    session.engine.release()
    if notes is not None:
        notes += [note for note in fresh.notes if note not in notes]


def _lowest_line(session: Session) -> float | None:
    """The score at which a finding begins; None where the bundle has no calibration to draw it by."""
    try:
        lines = session.policy(load_pack(session.settings.rules)).lines
    except BundleError:
        return None
    return min((line.value for line in lines), default=None)
