"""`check`, the gate: select rows, score them, evaluate, subtract what was accepted before, report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain

from sqsd_lint.common.distribution import ValueCounts
from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.rules import (
    Accepted,
    BundleScores,
    CoverageCount,
    Keeping,
    RemainingFindings,
    evaluate,
    exit_code,
    next_steps,
    subtract_accepted,
)
from sqsd_lint.run.given_rows import Given, select_given
from sqsd_lint.run.panel import Panel
from sqsd_lint.run.parts import with_parts
from sqsd_lint.run.policy_source import open_policy_source
from sqsd_lint.run.sampling import SampledRows
from sqsd_lint.types import Distribution, Problem, Report, ScoredRow

# Findings of each severity that a report lists; others are counted.
MOST_FINDINGS = 10_000


def check(
    settings: Settings,
    *,
    progress: Progress | None = None,
    keep_rows: bool = True,
    findings: int | None = None,
    given: Given | None = None,
) -> Report:
    """Score every row under `settings.paths`, or those that changed, and judge them.

    Args:
        keep_rows: have every row in the report. Without, memory grows with findings alone, if one bundle
            judges; several hold their rows all the same.
        findings: list so many of each severity, the first ones, and count the others; None lists all.
        given: what to judge in place of files.

    Raises:
        SqsdLintError: wrong settings, a missing bundle, model or commit. Rows and files that cannot be scored
            are no errors but findings.
    """
    return examine(
        settings, progress=progress, keep_rows=keep_rows, findings=findings, given=given, accepted=False
    )[0]


def examine(
    settings: Settings,
    *,
    progress: Progress | None = None,
    keep_rows: bool = False,
    findings: int | None = None,
    given: Given | None = None,
    accepted: bool = True,
) -> tuple[Report, RemainingFindings]:
    """Return what `check` reports, and the judgement behind it, with the findings that were accepted before.

    Args and errors as for `check`, and:
        accepted: whether these matter: if not, a row is not scored again exactly for their sake alone.
    """
    begun = time.perf_counter()
    settings = with_parts(settings)
    with ExitStack() as stack:
        # First: with --policy-ref it refuses a bundle or a cache that a change moved, before either is used.
        source = stack.enter_context(open_policy_source(settings))
        panel = Panel(settings, progress)
        # Only now it is known which models these bundles are made for; nothing of them has been read yet.
        source.refuse_changed_models(run.scorer.base_place for run in panel.runs.values())

        selection, every_row = select_given(settings, given, source.ignore_files)
        stack.enter_context(closing(selection))
        rows = every_row if settings.sample is None else SampledRows(every_row, settings.sample)
        policies = panel.policies(source.pack)
        scored = panel.score(rows, policies, None if accepted else source.accepted)
        settled = panel.settle(scored, in_order=keep_rows)
        files = [file.name for file in selection.files]
        scores = [
            BundleScores(name, policy, chain(selection.problems, items))
            for name, policy, items in zip(panel.runs, policies, settled, strict=True)
        ]
        seen = _Seen(settings, tuple(panel.runs))
        keeping = _keeping(source.accepted, seen, keep_rows, findings)
        evaluation = evaluate(scores, settings.consensus, files=files, keeping=keeping)
    remaining = subtract_accepted(evaluation, source.accepted, files=files, whole=set(files) - rows.partial)

    counted = seen.coverage.coverage(cached=panel.cached, files=len(files))
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
        exit_code=int(
            exit_code((*remaining.violations, *evaluation.unlisted), coverage, fail_on=settings.fail_on)
        ),
        seconds=time.perf_counter() - begun,
        rows=tuple(evaluation.rows) if keep_rows else (),
        next_steps=next_steps(
            remaining.violations,
            coverage,
            policies[0],
            others=policies[1:],
            baseline=source.accepted.baseline is not None,
            unlisted=evaluation.unlisted,
        ),
        baselined=remaining.baselined,
        suppressed=remaining.suppressed,
        unlisted=evaluation.unlisted,
        distributions=seen.distributions,
        files=tuple(seen.files),
    )
    return report, remaining


class _Seen:
    """What a report says about rows that it does not hold."""

    def __init__(self, settings: Settings, bundles: Sequence[str]) -> None:
        self.coverage = CoverageCount(settings.allow)
        self.files: dict[str, None] = {}
        self._bundles = bundles if len(bundles) > 1 else ("",)
        self._risks = [ValueCounts() for _ in self._bundles]

    def add(self, item: ScoredRow | Problem) -> None:
        self.coverage.add(item)
        if isinstance(item, ScoredRow):
            self.files.setdefault(item.where.file)
            for risks, score in zip(self._risks, item.scores, strict=True):
                if score.bound is None:
                    risks.add(score.risk)

    @property
    def distributions(self) -> tuple[Distribution, ...]:
        found = zip(self._bundles, self._risks, strict=True)
        return tuple(Distribution(bundle, risks.counts) for bundle, risks in found) if self.files else ()


def _keeping(accepted: Accepted, seen: _Seen, keep_rows: bool, findings: int | None) -> Keeping:
    if keep_rows:
        return Keeping(findings, accepted.answers, watch=seen.add)
    return Keeping(findings, accepted.answers, accepted.concerns, seen.add)
