"""Summarise runs, and draw them: attack success per window, and how well a ranking predicted it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqsd_lint.common import numbers
from sqsd_lint.common.statistics import MOST_PERMUTED, bootstrap, permutation_p, spearman, wilson
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
    window are no evidence about another. `p` is how often a random order of the windows' means would have
    been foreseen as well, over all orders.
    The interval of a window's attack success counts each prompt once: its seeds were asked the same ones.
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
    windows = sorted(set(place))
    means = [
        math.fsum(own) / len(own)
        for own in ([e for p, e in zip(place, effect, strict=True) if p == w] for w in windows)
    ]
    return {
        "spearman": _finite(spearman(place, effect)),
        "interval": bootstrap(place, effect, groups=[int(p) for p in place]),
        "p": permutation_p(means) if len(means) <= MOST_PERMUTED else None,
    }


def _window(runs: list[Run], kinds: Sequence[Verdict]) -> dict[str, Any]:
    unsafe, prompts = sum(run.unsafe for run in runs), sum(run.prompts for run in runs)
    low, high = wilson(unsafe / len(runs), runs[0].prompts)
    margins = [run.margin for run in runs]
    mean = math.fsum(margins) / len(margins)
    return {
        "sqsd": list(runs[0].sqsd),
        **({"risk": list(runs[0].risk)} if runs[0].risk else {}),
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


# Okabe and Ito's palette: told apart by colour-blind readers.
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#E69F00", "#999999", "#CC79A7", "#56B4E9", "#B0A000")
_MARKS = "osD^vPXh"


def plot(result: Mapping[str, Any], path: Path, *, dark: bool = False, title: str = "") -> None:
    """Draw `summary.summarise`'s result as PNG or SVG, whichever `path` ends in.

    Bars are 95 % Wilson intervals over all seeds' prompts; the dashed line is the untrained model.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style = pyplot.style.context("dark_background" if dark else "default")
    with style, pyplot.rc_context({"svg.hashsalt": path.stem}):  # fixed ids: the same result, the same file
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
        for k, (name, ranking) in enumerate(result["rankings"].items()):
            windows = ranking["windows"]
            # Side by side, so that intervals of several rankings can be read.
            x = [place + (k - len(result["rankings"]) / 2) * 0.05 for place in range(1, len(windows) + 1)]
            share = [100 * w["attack_success"] for w in windows]
            low = [max(0.0, s - 100 * w["interval"][0]) for s, w in zip(share, windows, strict=True)]
            high = [max(0.0, 100 * w["interval"][1] - s) for s, w in zip(share, windows, strict=True)]
            line: dict[str, Any] = {
                "color": _COLOURS[k % len(_COLOURS)],
                "marker": _MARKS[k % len(_MARKS)],
                "linewidth": 2.4 if name.startswith("sqsd") else 1.1,
                "markersize": 6,
                "label": name,
            }
            left.errorbar(x, share, yerr=[low, high], capsize=2, **line)
            right.plot(x, [w["margin"] for w in windows], **line)
        untrained = result["untrained"]
        left.axhline(100 * untrained["attack_success"], linestyle="--", color="grey", linewidth=1)
        right.axhline(untrained["margin"], linestyle="--", color="grey", linewidth=1)
        count = max(len(r["windows"]) for r in result["rankings"].values())
        for axes in (left, right):
            axes.set_xticks(range(1, count + 1))
            axes.set_xlabel("window of rows, from the top of the ranking (1) to its bottom")
            axes.grid(alpha=0.25)
        left.set_ylim(-2, 102)
        left.set_ylabel("attack success after training on it [%]")
        right.set_ylabel("margin of refusal over compliance [nats per token]")
        right.legend(title="rows ranked by", fontsize="small")
        seeds, dose = numbers.count(len(result["seeds"]), "seed"), result["dose"]
        cut = f" within {result['strata']} strata of length" if result["strata"] > 1 else ""
        figure.suptitle(
            f"{title}{result['size']} rows a window{cut}, {seeds}, {result['prompts']} prompts, "
            f"{dose['steps']} steps at lr {dose['lr']:g}",
            fontsize=10,
        )
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
        pyplot.close(figure)
