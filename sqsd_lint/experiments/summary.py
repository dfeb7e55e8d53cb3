"""Summarise runs: attack success per window with its interval, and how well a ranking foresaw it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqsd_lint.common.statistics import bootstrap, spearman, wilson
from sqsd_lint.experiments.experiment import Outcome
from sqsd_lint.experiments.judges import Verdict
from sqsd_lint.experiments.run_store import Run

FORMAT_VERSION = 1


def summarise(outcome: Outcome, kinds: Sequence[Verdict]) -> dict[str, Any]:
    """Return the result as plain data, one entry per ranking with its windows from the top down.

    `verdicts` counts answers by the `kinds` that the judge distinguishes.
    `attack_success.spearman` and `margin_loss.spearman` compare, over all runs of a ranking, the window's
    place (1 for the top) with what training on it did: +1 is a ranking that foresaw every difference.
    `interval` is its 95 % bootstrap interval over windows, each drawn with all of its runs: the seeds of one
    window are no evidence about another.
    """
    untrained = outcome.untrained
    return {
        "version": FORMAT_VERSION,
        "dose": asdict(outcome.dose),
        "seeds": list(outcome.plan.seeds),
        "size": outcome.plan.size,
        "strata": outcome.plan.strata,
        "update": outcome.plan.update,
        "search": outcome.search,
        "untrained": {
            "attack_success": untrained.unsafe / untrained.prompts,
            "verdicts": _verdicts([untrained], kinds),
            "margin": untrained.margin,
        },
        "prompts": untrained.prompts,
        "rankings": {
            ranking: _ranking([run for run in outcome.runs if run.ranking == ranking], untrained, kinds)
            for ranking in outcome.plan.rankings
        },
    }


def _ranking(runs: list[Run], untrained: Run, kinds: Sequence[Verdict]) -> dict[str, Any]:
    windows = sorted({run.window for run in runs})
    place = [-float(run.window) for run in runs]
    success = [run.unsafe / run.prompts for run in runs]
    loss = [untrained.margin - run.margin for run in runs]
    return {
        "windows": [_window([run for run in runs if run.window == k], kinds) for k in windows],
        "attack_success": _correlation(place, success),
        "margin_loss": _correlation(place, loss),
    }


def _correlation(place: list[float], effect: list[float]) -> dict[str, Any]:
    return {
        "spearman": _finite(spearman(place, effect)),
        "interval": bootstrap(place, effect, groups=[int(p) for p in place]),
    }


def _window(runs: list[Run], kinds: Sequence[Verdict]) -> dict[str, Any]:
    unsafe, prompts = sum(run.unsafe for run in runs), sum(run.prompts for run in runs)
    low, high = wilson(unsafe, prompts)
    margins = [run.margin for run in runs]
    mean = math.fsum(margins) / len(margins)
    return {
        "sqsd": list(runs[0].sqsd),
        "answer_tokens": runs[0].tokens,
        "attack_success": unsafe / prompts,
        "interval": [low, high],
        "verdicts": _verdicts(runs, kinds),
        "per_seed": [run.unsafe / run.prompts for run in runs],
        "margin": mean,
        "margin_per_seed": margins,
    }


def _verdicts(runs: Sequence[Run], kinds: Sequence[Verdict]) -> dict[str, int]:
    return {kind.value: sum(run.count(kind) for run in runs) for kind in kinds}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
