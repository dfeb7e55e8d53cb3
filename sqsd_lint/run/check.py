"""The one place that names the rooms in order: discover, read, samples, encode, score, judge, report."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import replace

from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.rules import (
    RemainingFindings,
    count_coverage,
    evaluate,
    exit_code,
    next_steps,
    subtract_accepted,
)
from sqsd_lint.run.panel import hear_each, join_heads, open_sessions, settings_of_each
from sqsd_lint.run.policy_source import open_rulebook
from sqsd_lint.run.rows import Rows, select_files
from sqsd_lint.types import Report


def check(settings: Settings, *, progress: Progress | None = None) -> Report:
    """Score every row under `settings.paths`, or those that changed, and judge them.

    Raises:
        SqsdLintError: wrong settings, a missing bundle, model or commit. Rows and files that cannot be scored
            are no errors but findings.
    """
    return examine(settings, progress=progress)[0]


def examine(settings: Settings, *, progress: Progress | None = None) -> tuple[Report, RemainingFindings]:
    """Return what `check` reports, and the findings behind it, those that were accepted before included."""
    begun = time.perf_counter()
    with ExitStack() as stack:
        # First: with --policy-ref it refuses a bundle or a cache that a change moved, before either is used.
        book = stack.enter_context(open_rulebook(settings))
        sessions = open_sessions(settings_of_each(settings), progress)
        # Only now it is known which models these bundles are made for; nothing of them has been read yet.
        for session in sessions.values():
            if place := session.engine.base_place:
                book.hold(str(place), "the base model")
        found = stack.enter_context(closing(select_files(settings, book.ignore_files)))
        fresh = Rows(found, settings)
        read_once = "-" in settings.paths and len(sessions) > 1
        said = hear_each(sessions, list(fresh) if read_once else fresh, found.problems, book.pack)
    files = [file.name for file in found.files]
    evaluation = evaluate([each.scores for each in said], settings.consensus, files=files)
    remaining = subtract_accepted(evaluation, book.accepted, files=files, whole=set(files) - fresh.partial)
    cached = min(each.cached for each in said)
    coverage = replace(
        count_coverage(
            evaluation.rows, evaluation.problems, allow=settings.allow, cached=cached, files=len(files)
        ),
        unchanged=fresh.unchanged,
        notes=(*found.all_notes, *fresh.notes),
    )
    head = join_heads(said, settings.consensus)
    compared = (found.comparison,) if found.comparison else ()
    report = Report(
        head=replace(head, notes=(*head.notes, *compared, *book.notes, *remaining.notes)),
        violations=remaining.violations,
        coverage=coverage,
        exit_code=int(exit_code(remaining.violations, coverage, fail_on=settings.fail_on)),
        seconds=time.perf_counter() - begun,
        rows=tuple(evaluation.rows),
        next_steps=next_steps(
            remaining.violations,
            coverage,
            said[0].scores.policy,
            others=[each.scores.policy for each in said[1:]],
            baseline=book.accepted.baseline is not None,
        ),
        baselined=remaining.baselined,
        suppressed=remaining.suppressed,
    )
    return report, remaining
