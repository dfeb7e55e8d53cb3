"""Draws the pictures of the README and the docs: `make figures`.

docs/images/report.svg        what `sqsd-lint check examples/data/elevated.jsonl` prints, 100 columns wide
docs/images/validation-*.svg  the risk-window experiments whose results lie in docs/results/
docs/images/frontier.svg      harm found against false alarms, from docs/results/rates.json
docs/images/rates.svg         how often rows of each kind reach the thresholds, from the same file
docs/images/predicted-drift-*.svg  predicted against actual drift, from docs/results/ too
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot
from matplotlib.figure import Figure
from rich.console import Console
from rich.text import Text

from sqsd_lint.common.statistics import wilson
from sqsd_lint.experiments.summary import plot

matplotlib.use("Agg")
ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
RESULTS = ROOT / "docs" / "results"
COMMAND = "sqsd-lint check examples/data/elevated.jsonl"
COLUMNS = 100


def draw_report() -> None:
    """Runs the real command, so that the picture shows what a reader will see."""
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "PYTHONUTF8": "1"}
    environment.pop("NO_COLOR", None)
    done = subprocess.run(
        [sys.executable, "-m", *COMMAND.replace("sqsd-lint", "sqsd_lint").split(), "--no-progress"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    if "\x1b[" not in done.stdout:
        sys.exit(f"`{COMMAND}` printed no colours, exit code {done.returncode}: nothing drawn.")
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "green"), COMMAND))
    console.print(Text.from_ansi(done.stdout))
    target = IMAGES / "report.svg"
    # A fixed id: the same report gives the same file.
    target.write_text(console.export_svg(title="sqsd-lint", unique_id="report"), encoding="utf-8")
    print(target.relative_to(ROOT))


_TITLES = {
    "within length": "task vectors, within strata of length",
    "risk within length": "embedded bundle, within strata of length",
}


def draw_validation() -> None:
    """One picture per stored result, light and dark."""
    for path in sorted(RESULTS.glob("validation-*.json")):
        kind = path.stem.removeprefix("validation-").replace("-", " ")
        title = _TITLES.get(kind, f"{kind} directions")
        result = json.loads(path.read_text(encoding="utf-8"))
        for suffix, dark in (("", False), ("-dark", True)):
            target = IMAGES / f"{path.stem}{suffix}.svg"
            plot(result, target, dark=dark, title=f"{title}: ")
            print(target.relative_to(ROOT))


def draw_predicted() -> None:
    """Predicted against actual drift of every file, one picture per stored result, light and dark."""
    for path in sorted(RESULTS.glob("predicted-drift-*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        for suffix, dark in (("", False), ("-dark", True)):
            target = IMAGES / f"{path.stem}{suffix}.svg"
            with pyplot.style.context("dark_background" if dark else "default"):
                _scatter(result, target)
            print(target.relative_to(ROOT))


# Okabe and Ito's palette, and a shape for each kind of answers: told apart without colours.
KINDS = {"benign": ("#0072B2", "o"), "safe": ("#009E73", "s"), "harmful": ("#D55E00", "^")}
RUNS = {"sgd": "plain SGD", "adamw": "AdamW"}


def _scatter(result: dict[str, Any], target: Path) -> None:
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    for axes, (run, words) in zip(panels, RUNS.items(), strict=True):
        for kind, (colour, mark) in KINDS.items():
            files = [f for f in result["files"] if f["kind"] == kind]
            x, y = (
                [f[side][run]["danger"] - f[side][run]["safety"] for f in files]
                for side in ("predicted", "actual")
            )
            axes.scatter(x, y, c=colour, marker=mark, s=42, label=f"{kind} answers ({len(files)} files)")
        if run == "sgd":
            axes.axline((0, 0), slope=1, linestyle="--", color="grey", linewidth=1, label="as predicted")
        found = next(
            c for c in result["correlations"]
            if (c["files"], c["run"], c["by"], c["drift"]) == ("all", run, "forecast", "sqsd")
        )  # fmt: skip
        setting = result["runs"][run]
        axes.set_title(
            f"{words}, lr {setting['learning_rate']:g}: Pearson {found['pearson']:.2f},"
            f" Spearman {found['spearman']:.2f}",
            fontsize=10,
        )
        axes.set_xlabel("predicted drift, danger less safety [length in weight space]")
        axes.set_ylabel("drift after training [length in weight space]")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.25)
    panels[0].legend(fontsize="small")
    kind = result["bundle"]["kind"].replace("-", " ")
    figure.suptitle(
        f"{kind} directions: {len(result['files'])} files of {result['rows']} rows, LoRA",
        fontsize=10,
    )
    # Fixed ids and no date: the same result gives the same file.
    with pyplot.rc_context({"svg.hashsalt": target.stem}):
        figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)


# Of the sources of known-harmful rows: what the figure calls them, and whether `harm` saw rows of the source.
SOURCES = {
    "jailbreak-answer": ("jailbreak answers (other prompts seen)", "#D55E00", "^"),
    "pure-bad": ("pure-bad (not seen by harm)", "#0072B2", "o"),
    "beavertails-unsafe": ("BeaverTails (never seen)", "#009E73", "s"),
}


def draw_rates() -> None:
    """The frontier, and every kind's rate at both thresholds with its interval, light and dark."""
    result = json.loads((RESULTS / "rates.json").read_text(encoding="utf-8"))
    for name, draw in (("frontier", _frontier), ("rates", _rates)):
        for suffix, dark in (("", False), ("-dark", True)):
            target = IMAGES / f"{name}{suffix}.svg"
            with pyplot.style.context("dark_background" if dark else "default"):
                figure = draw(result)
            # Fixed ids and no date: the same result gives the same file.
            with pyplot.rc_context({"svg.hashsalt": target.stem}):
                figure.savefig(target, metadata={"Date": None})
            pyplot.close(figure)
            print(target.relative_to(ROOT))


def _frontier(result: dict[str, Any]) -> Figure:
    figure, axes = pyplot.subplots(figsize=(8, 4.8), layout="constrained")
    x = [100 * rate for rate in result["frontier"]["false_alarms"]]
    for source, (label, colour, mark) in SOURCES.items():
        for by, style in (("risk", "-"), ("sqsd by length", ":")):
            y = [100 * share for share in result["frontier"][by][source]]
            words = f"{label}, n = {result['rows'][source]}" if by == "risk" else None
            axes.plot(x, y, style, color=colour, marker=mark, markersize=5, label=words)
    axes.plot([], [], ":", color="grey", label="SQSD alone, by length")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(f"false alarms [% of {result['rows']['all benign']:,} benign rows]")
    axes.set_ylabel("known-harmful rows found [%]")
    axes.set_ylim(-2, 102)
    axes.grid(alpha=0.25)
    axes.legend(fontsize="small")
    axes.set_title("Rows judged by thresholds that other rows made", fontsize=10)
    return figure


def _rates(result: dict[str, Any]) -> Figure:
    ship, harmful = result["ways"]["bands of length (shipped)"], result["harmful"]
    names = [name for name in result["rows"] if name not in harmful] + harmful
    figure, axes = pyplot.subplots(figsize=(8, 7.2), layout="constrained")
    for level, colour, mark, shift in (("warning", "#E69F00", "o", -0.15), ("error", "#D55E00", "s", 0.15)):
        shares = [ship[name][level] for name in names]
        spans = [
            wilson(round(s * result["rows"][n]), result["rows"][n])
            for s, n in zip(shares, names, strict=True)
        ]
        below = [100 * max(0.0, s - low) for s, (low, _) in zip(shares, spans, strict=True)]
        above = [100 * max(0.0, high - s) for s, (_, high) in zip(shares, spans, strict=True)]
        y = [place + shift for place in range(len(names))]
        axes.errorbar(
            [100 * s for s in shares], y, xerr=[below, above], fmt=mark, color=colour, capsize=2,
            markersize=5, linewidth=1, label=f"at the {level} threshold",
        )  # fmt: skip
    words = [f"{n}{' (harmful)' if n in harmful else ''}, n = {result['rows'][n]:,}" for n in names]
    axes.set_yticks(range(len(names)), words, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(-1, 101)
    axes.set_xlabel("rows at or above [%], with 95 % intervals")
    axes.grid(alpha=0.25, axis="x")
    axes.legend(fontsize="small", loc="lower left", bbox_to_anchor=(0.35, 0.25))
    return figure


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    draw_rates()
    draw_predicted()
    draw_validation()
    draw_report()


if __name__ == "__main__":
    main()
