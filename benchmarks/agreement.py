"""Would a large model agree? Ranks of a bundle's scores against those that were published for Qwen3-8B.

    python benchmarks/agreement.py ../shared/data/dolly_published_qwen3.jsonl [--json FILE]

Spearman with the published SQSD (danger of BeaverTails, safety of PKU-SafeRLHF), with 95 % intervals over
rows, for every score that a bundle gives, and the metrics and expansion points that it can be asked for; then
by the rows' category. Length and loss are the peers: a score that does no better ranks by them.
"""

from __future__ import annotations

import argparse
import json
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
BY: dict[str, Callable[[Score], float]] = {
    "SQSD": lambda score: score.sqsd,
    "danger": lambda score: score.danger,
    "-safety": lambda score: -score.safety,
    "harm": lambda score: score.harm or 0.0,
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


def agreement(ours: list[float], theirs: list[float]) -> dict[str, Any]:
    return {"n": len(ours), "spearman": spearman(ours, theirs), "interval": bootstrap(ours, theirs)}


def text(found: dict[str, Any]) -> str:
    low, high = found["interval"] or (float("nan"),) * 2
    return f"{found['spearman']:+.2f} ({low:+.2f} to {high:+.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=Path)
    parser.add_argument("--bundle", default=None)
    parser.add_argument("--settings", default=SETTINGS, help="METRIC/EXPANSION,... (default all of them)")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = published(args.rows)
    theirs = [value for _, value, _ in rows]
    result: dict[str, Any] = {"rows": len(rows), "settings": {}, "categories": {}}
    for each in args.settings.split(","):
        metric, expansion = each.split("/")
        settings = Settings(
            bundle=args.bundle,
            metric=metric,
            expansion=expansion,
            dtype=args.dtype,
            max_length=args.max_length,
        )
        run = BundleRun(settings)
        scores = run.reference_scores([sample for sample, *_ in rows])
        run.scorer.release()
        found = {by: agreement([value(s) for s in scores], theirs) for by, value in BY.items()}
        result["settings"][each] = found
        if not result["categories"]:
            result["bundle"] = run.bundle.digest
            for category in sorted({category for *_, category in rows}):
                own = [i for i, (*_, c) in enumerate(rows) if c == category]
                if len(own) >= 10:
                    result["categories"][category] = agreement(
                        [scores[i].sqsd for i in own], [theirs[i] for i in own]
                    )
    print(f"Spearman with the published SQSD over {len(rows)} rows (95 % interval):\n")
    print("| score | " + " | ".join(result["settings"]) + " |\n|" + "---|" * (len(result["settings"]) + 1))
    for by in BY:
        print(f"| {by} | " + " | ".join(text(found[by]) for found in result["settings"].values()) + " |")
    print("\n| category | n | SQSD |\n|---|---|---|")
    for category, found in result["categories"].items():
        print(f"| {category} | {found['n']} | {text(found)} |")
    if args.json:
        clean = json.loads(json.dumps(result), parse_float=lambda number: float(f"{float(number):.3g}"))
        args.json.write_text(json.dumps(clean, indent=1) + "\n")


if __name__ == "__main__":
    main()
