"""`check`, the gate: select rows, score them, evaluate, subtract what was accepted before, report."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import replace

from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.rules import (
    BundleScores,
    RemainingFindings,
    count_coverage,
    evaluate,
    exit_code,
    next_steps,
    subtract_accepted,
)
from sqsd_lint.run.panel import Panel
from sqsd_lint.run.policy_source import open_policy_source
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
    """Return what `check` reports, and the judgement behind it, with the findings that were accepted before.

    Raises:
        SqsdLintError: as `check`.
    """
    begun = time.perf_counter()
    with ExitStack() as stack:
        # First: with --policy-ref it refuses a bundle or a cache that a change moved, before either is used.
        source = stack.enter_context(open_policy_source(settings))
        panel = Panel(settings, progress)
        # Only now it is known which models these bundles are made for; nothing of them has been read yet.
        source.refuse_changed_models(run.scorer.base_place for run in panel.runs.values())

        selection = stack.enter_context(closing(select_files(settings, source.ignore_files)))
        rows = Rows(selection, settings)
        policies = panel.policies(source.pack)
        scored = panel.score(rows, policies)
        settled = panel.settle(scored)

    files = [file.name for file in selection.files]
    scores = [
        BundleScores(name, policy, [*selection.problems, *items])
        for name, policy, items in zip(panel.runs, policies, settled, strict=True)
    ]
    evaluation = evaluate(scores, settings.consensus, files=files)
    remaining = subtract_accepted(evaluation, source.accepted, files=files, whole=set(files) - rows.partial)

    counted = count_coverage(
        evaluation.rows, evaluation.problems, allow=settings.allow, cached=panel.cached, files=len(files)
    )
    coverage = replace(
        counted,
        unchanged=rows.unchanged,
        not_read=selection.not_read.count,
        notes=(*selection.all_notes, *rows.notes),
    )
    head = panel.head(policies)
    compared = (selection.comparison,) if selection.comparison else ()
    report = Report(
        head=replace(head, notes=(*head.notes, *compared, *source.notes, *remaining.notes)),
        violations=remaining.violations,
        coverage=coverage,
        exit_code=int(exit_code(remaining.violations, coverage, fail_on=settings.fail_on)),
        seconds=time.perf_counter() - begun,
        rows=tuple(evaluation.rows),
        next_steps=next_steps(
            remaining.violations,
            coverage,
            policies[0],
            others=policies[1:],
            baseline=source.accepted.baseline is not None,
        ),
        baselined=remaining.baselined,
        suppressed=remaining.suppressed,
    )
    return report, remaining
