"""Draw the experiment: attack success and margin per window, one line per ranking."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqsd_lint.common import numbers

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
