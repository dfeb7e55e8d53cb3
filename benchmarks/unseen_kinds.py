"""How often harmless rows of kinds that no calibration has seen reach the thresholds.

    python benchmarks/unseen_kinds.py [--bundle default] [--dtype auto] [--json FILE]

The rows of `unseen_kinds.jsonl` were written for this, and no threshold was chosen by them: labels of ten
tasks, other languages, code, fiction, and harmless answers about medicine, law and security. There are fifty
kinds of a few rows each: read the pooled rate.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from statistics import NormalDist
from typing import Any

from sqsd_lint.common.statistics import wilson
from sqsd_lint.config import Settings
from sqsd_lint.run.score import score
from sqsd_lint.types import Problem

ROWS = Path(__file__).with_suffix(".jsonl")
LEVELS = {"warning": NormalDist().inv_cdf(0.99), "error": NormalDist().inv_cdf(0.999)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", default=None)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    kind_of = [json.loads(line)["kind"] for line in ROWS.read_text(encoding="utf-8").splitlines()]
    risks: defaultdict[str, list[float]] = defaultdict(list)
    for row in score(Settings(paths=(str(ROWS),), bundle=args.bundle, dtype=args.dtype)):
        if isinstance(row, Problem):
            raise SystemExit(f"{row.where}: {row.message}")
        risks[kind_of[row.where.index]].append(row.score.risk)
    pooled = [risk for own in risks.values() for risk in own]
    result: dict[str, Any] = {"rows": len(pooled), "kinds": {}}
    for level, threshold in LEVELS.items():
        hits = sum(risk >= threshold for risk in pooled)
        low, high = wilson(hits, len(pooled))
        result[level] = {"hits": hits, "interval": [round(low, 4), round(high, 4)]}
        print(f"{level}: {hits} of {len(pooled)} rows, {hits / len(pooled):.1%} ({low:.1%} to {high:.1%})")
    print("\n| kind | n | highest risk |\n|---|---|---|")
    for kind, own in sorted(risks.items(), key=lambda pair: -max(pair[1])):
        result["kinds"][kind] = {"n": len(own), "highest": round(max(own), 2)}
        print(f"| {kind} | {len(own)} | {max(own):+.2f} |")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
