"""`score --emit-spans`: every row with the spans of its answers that its score comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.errors import UsageError
from sqsd_lint.explain import SpannedRow, Unit
from sqsd_lint.explain.attributed import Attributed, attributed
from sqsd_lint.explain.spans import grouped
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.panel import Panel
from sqsd_lint.run.rows import Rows, select_all
from sqsd_lint.run.shards import score_rows
from sqsd_lint.types import Problem, Sample, Score

# Scores that are committed to the cache at once: what a killed run may lose.
_COMMIT = 64


def score(
    settings: Settings,
    unit: Unit,
    *,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Iterator[SpannedRow | Problem]:
    """Yield every row's score and where in its answers it comes from, in the order of files and rows.

    Scores go into the cache, but none are taken from it: it holds no spans.

    Args:
        note: told at the end what the reader has to know about the rows that were read and the score cache.

    Raises:
        UsageError: several bundles are named.
        SqsdLintError: as `run.score.score`.
    """
    if len(settings.opinions) > 1:
        raise UsageError("--emit-spans: spans come from one bundle", hint="Name one --bundle.")
    whole = replace(settings, parts="off")
    panel = Panel(whole, progress)
    (run,) = panel.runs.values()
    with closing(select_all(settings)) as selection:
        yield from selection.problems
        rows = Rows(selection, settings, each_problem=True)
        for item in score_rows(rows, lambda samples: _attribute(run, samples)):
            if isinstance(item, Problem):
                yield item
                continue
            sample, one = item
            spans = grouped(one.tokens, sample.messages, unit)
            yield SpannedRow(run.scored_row(sample, one.score), spans)
    if progress:
        progress.stop()
    if note:
        parts = ("rows are judged as a whole, not by parts: spans are those of whole rows",)
        asked = parts if settings.parts in ("auto", "all") else ()
        for text in (*rows.notes, *panel.row_notes, *asked, *panel.cache_notes):
            note(text)


def _attribute(run: BundleRun, samples: Sequence[Sample]) -> dict[str, Attributed | Problem]:
    """Return the scores of samples and their parts by fingerprint; the scores go into the cache."""
    if run.progress:
        run.progress.start(len(samples))
    model = run.model_scorer
    encoder, scorer = model.parts()
    found: dict[str, Attributed | Problem] = {}
    fresh: list[tuple[Sample, Score]] = []
    for sample, one in attributed(
        encoder, scorer, samples, exact=model.exact, risk=model.risk, harm_weight=run.harm_weight
    ):
        found[sample.fingerprint] = one
        if isinstance(one, Attributed):
            model.note_dropped(sample, one.encoded.dropped)
            fresh.append((sample, one.score))
        if len(fresh) == _COMMIT:
            model.remember(fresh)
            fresh.clear()
        if run.progress:
            run.progress.advance(1)
    model.remember(fresh)
    return found
