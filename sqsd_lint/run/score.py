"""`score`: every row's score by one bundle or several, without a judgement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.errors import BundleError
from sqsd_lint.rules import load_pack
from sqsd_lint.rules.findings import why_unscorable
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.given_rows import Given, select_given
from sqsd_lint.run.panel import Panel
from sqsd_lint.run.screen import OFF
from sqsd_lint.types import Opinion, Problem, ScoredRow


def score(
    settings: Settings,
    *,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
    given: Given | None = None,
) -> Iterator[ScoredRow | Problem]:
    """Yield every row's score, in the order of files and rows, without a judgement.

    Where several bundles score, a row has the opinion of each, and one that a bundle cannot score is a
    Problem: an opinion that is missing is no agreement.

    Args:
        note: told at the end what the reader has to know about the rows that were read and the score cache.
        given: what to score in place of files.

    Raises:
        SqsdLintError: wrong settings, a missing bundle or model, or a file that changed between two bundles.
    """
    panel = Panel(settings, progress)
    lowest = [_lowest_threshold(run) for run in panel.runs.values()] if len(panel.runs) > 1 else []
    settings = replace(settings, staged=False, changed_since=None)
    if settings.screen != OFF:
        for run, policy in zip(panel.runs.values(), panel.policies(load_pack(settings.rules)), strict=True):
            run.use_screen(policy.distinct_thresholds, bundles=len(panel.runs))
    selection, rows = select_given(settings, given, each_problem=True)
    with closing(selection):
        yield from selection.problems
        for items in zip(*panel.score(rows), strict=True):
            yield _with_opinions(list(panel.runs), items, lowest) if lowest else items[0]
    if note:
        for text in (*rows.notes, *panel.row_notes, *panel.cache_notes):
            note(text)


def _with_opinions(
    names: Sequence[str], items: Sequence[ScoredRow | Problem], lowest: Sequence[float | None]
) -> ScoredRow | Problem:
    """Return a row with what each bundle finds; the first problem if a bundle has no score for it."""
    opinions = []
    for name, item, threshold in zip(names, items, lowest, strict=True):
        if isinstance(item, Problem):
            return replace(item, message=f"{name}: {item.message}") if item.code == "SQSD301" else item
        if reason := why_unscorable(item.score):
            return Problem("SQSD301", item.where, f"{name}: {reason}", "", item.excerpt, item.fingerprint)
        risky = None if threshold is None else item.score.risk >= threshold
        opinions.append(Opinion(name, item.score, item.percentile, risky))
    first = items[0]
    return replace(first, opinions=tuple(opinions)) if isinstance(first, ScoredRow) else first


def _lowest_threshold(run: BundleRun) -> float | None:
    """Return the score at which a finding begins; None where the bundle has no calibration to tell it."""
    try:
        thresholds = run.policy(load_pack(run.settings.rules)).distinct_thresholds
    except BundleError:
        return None
    return min((each.value for each in thresholds), default=None)
