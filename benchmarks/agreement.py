"""Would a large model agree? Ranks of a bundle's scores against those that were published for Qwen3-8B.

    python benchmarks/agreement.py ../shared/data/dolly_published_qwen3.jsonl [--json FILE]
        [--bundle [NAME=]BUNDLE]... [--settings METRIC/EXPANSION[/LENGTH],...]

Spearman with the published SQSD (danger of BeaverTails, safety of PKU-SafeRLHF), with 95 % intervals over
rows, of every score that a bundle gives, for each bundle by each metric, expansion point and length in tokens
at which rows are cut (1024 where none is named); then SQSD by the rows' category. Length and loss are the
peers: a score that does no better ranks by them.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqsd_lint.common.statistics import bootstrap, spearman
from sqsd_lint.config import Settings
from sqsd_lint.read import read_rows
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.samples import to_sample
from sqsd_lint.types import Problem, Sample, Score

SETTINGS = "cosine/shared,cosine/paper,projection/shared,dot/shared"
LENGTH = 1024
FEWEST = 10
BY: dict[str, Callable[[Score], float | None]] = {
    "SQSD": lambda score: score.sqsd,
    "danger": lambda score: score.danger,
    "-safety": lambda score: -score.safety,
    "harm": lambda score: score.harm,
    "loss": lambda score: score.loss,
    "answer length": lambda score: score.tokens,
}


def published(path: Path) -> list[tuple[Sample, float, str]]:
    """Return the samples with their published SQSD and category."""
    found = []
    for row in read_rows(str(path)):
        sample = None if isinstance(row, Problem) else to_sample(row)
        if not isinstance(sample, Sample) or isinstance(row, Problem):
            raise SystemExit(f"{row.where}: not a row with published scores")
        found.append((sample, float(row.raw["published_sqsd"]), str(row.raw.get("category", ""))))
    return found


def parse_setting(text: str) -> tuple[str, str, int]:
    """Return metric, expansion point and length of METRIC/EXPANSION[/LENGTH]."""
    metric, expansion, length = (*text.split("/"), str(LENGTH))[:3]
    return metric, expansion, int(length)


def parse_bundle(text: str) -> tuple[str, str]:
    """Return name and address of [NAME=]BUNDLE."""
    name, equals, bundle = text.partition("=")
    return (name, bundle) if equals else (text, text)


def agreement(ours: list[float], theirs: list[float]) -> dict[str, Any]:
    """Return the number of rows, their Spearman correlation and its 95 % interval."""
    return {"n": len(ours), "spearman": spearman(ours, theirs), "interval": bootstrap(ours, theirs)}


def measure(
    bundle: str | None, setting: str, rows: list[tuple[Sample, float, str]], **more: Any
) -> dict[str, Any]:
    """Return what a bundle's scores have in common with the published ones: all rows, then by category.

    Args:
        more: further settings.
    """
    metric, expansion, length = parse_setting(setting)
    settings = Settings(bundle=bundle, metric=metric, expansion=expansion, max_length=length, **more)
    run = BundleRun(settings)
    scores = run.reference_scores([sample for sample, *_ in rows])
    run.scorer.release()
    theirs = [value for _, value, _ in rows]
    found: dict[str, Any] = {"digest": run.bundle.digest, "scores": {}, "categories": {}}
    for by, value in BY.items():
        ours = [number for number in map(value, scores) if number is not None]
        if len(ours) == len(rows):  # a bundle without `harm` gives none
            found["scores"][by] = agreement(ours, theirs)
    for category in sorted({category for *_, category in rows}):
        own = [i for i, (*_, c) in enumerate(rows) if c == category]
        if len(own) >= FEWEST:
            found["categories"][category] = agreement([scores[i].sqsd for i in own], [theirs[i] for i in own])
    return found


def text(found: dict[str, Any] | None) -> str:
    """Return a correlation with its interval."""
    if found is None or math.isnan(found["spearman"]):
        return "none"
    ends = found["interval"] or (float("nan"),) * 2
    value, low, high = (f"{round(number, 2) or 0.0:+.2f}" for number in (found["spearman"], *ends))
    return f"{value} ({low} to {high})"


def print_table(bundles: dict[str, Any], part: str, first: str, names: dict[str, str]) -> None:
    """Print one row per score or category, one column per setting; `names` holds the first cells."""
    columns = [(name, setting) for name, each in bundles.items() for setting in each["settings"]]
    heads = [setting if len(bundles) == 1 else f"{name}: {setting}" for name, setting in columns]
    print(f"\n| {first} | " + " | ".join(heads) + " |\n|" + "---|" * (len(heads) + 1))
    for key, words in names.items():
        cells = [text(bundles[name]["settings"][setting][part].get(key)) for name, setting in columns]
        print(f"| {words} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=Path)
    parser.add_argument("--bundle", action="append", help="[NAME=]BUNDLE (repeat; default the embedded one)")
    parser.add_argument(
        "--settings", default=SETTINGS, help="METRIC/EXPANSION[/LENGTH],... (default %(default)s)"
    )
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--model", help="the bundles' base model, where it is a folder")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = published(args.rows)
    chosen = [parse_bundle(each) for each in args.bundle or []] or [("default", None)]
    bundles: dict[str, Any] = {}
    for name, bundle in chosen:
        bundles[name] = {"digest": "", "settings": {}}
        for setting in args.settings.split(","):
            found = measure(bundle, setting, rows, dtype=args.dtype, model=args.model)
            bundles[name]["digest"] = found.pop("digest")
            bundles[name]["settings"][setting] = found
    print(f"Spearman with the published SQSD over {len(rows)} rows (95 % interval)")
    print_table(bundles, "scores", "score", {by: by for by in BY})
    every = [each for one in bundles.values() for each in one["settings"].values()]
    counts = {category: found["n"] for category, found in every[0]["categories"].items()}
    print_table(bundles, "categories", "SQSD of", {c: f"{c}, {n} rows" for c, n in counts.items()})
    if args.json:
        result = {"rows": len(rows), "dtype": args.dtype, "bundles": bundles}
        clean = json.loads(json.dumps(result), parse_float=lambda number: float(f"{float(number):.4g}"))
        args.json.write_text(json.dumps(clean, indent=1) + "\n")


if __name__ == "__main__":
    main()
