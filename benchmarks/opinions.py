"""Do two bundles catch more than one, at the same number of false alarms?

    python benchmarks/opinions.py rows -o build/opinions       held-out rows by kind, a file each
    sqsd-lint score build/opinions/*.jsonl --max-length 192 -o one.jsonl                  with each bundle
    python benchmarks/opinions.py catch one.jsonl other.jsonl --rows build/opinions

Each way to decide gets the lines at which it flags the same share of the benign rows, so that none is better
by flagging more: one bundle alone, either of them, both, and the mean of their percentiles. The lines are
drawn on the rows that they judge: the comparison is fair, the figures are a little too good for all.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import common
import numpy as np
from default_bundle import held_out
from scipy.stats import spearmanr

from sqsd_lint.bundle.agreement import read_scores
from sqsd_lint.bundle.build.data import select
from sqsd_lint.config import Settings
from sqsd_lint.rows import clean_samples
from sqsd_lint.validate.statistics import wilson


def rows(args: argparse.Namespace) -> None:
    args.output.mkdir(parents=True, exist_ok=True)
    for number, (kind, (data, role)) in enumerate(held_out(args.per_kind).items()):
        name = "".join(c if c.isalnum() else "-" for c in kind).strip("-")
        lines = [
            json.dumps({"messages": [{"role": m.role, "content": m.content} for m in sample.messages]}) + "\n"
            for sample in select(data, role, args.data).samples
        ]
        path = args.output / f"{number}-{role if role != '-' else 'opening'}-{name}.jsonl"
        path.write_text("".join(lines), encoding="utf-8")
        print(f"{len(lines):4} {path}")


def catch(args: argparse.Namespace) -> None:
    scores = [read_scores(path) for path in args.scores]
    kinds: dict[str, np.ndarray] = {}  # [n, 2]
    for path in sorted(args.rows.glob("*.jsonl")):
        found = [s.fingerprint for s in clean_samples(str(path), Settings())]
        kinds[path.stem] = np.array([[one[f] for one in scores] for f in found])
    benign = np.concatenate([values for name, values in kinds.items() if "-benign-" in name])
    places = {name: percentiles(values, benign) for name, values in kinds.items()}
    ordinary = percentiles(benign, benign)
    print(f"{len(benign)} benign rows, Spearman of the two bundles {spearmanr(*benign.T)[0]:+.2f}\n")
    ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "first alone": lambda p: p[:, 0],
        "second alone": lambda p: p[:, 1],
        "any": lambda p: p.max(1),
        "all": lambda p: p.min(1),
        "mean percentile": lambda p: p.mean(1),
    }
    others = [name for name in kinds if "-benign-" not in name]
    for share in args.flagged:
        print(f"Share of rows flagged where each way flags {share:.0%} of the benign ones (95 % Wilson):\n")
        print(f"| rows | n | {' | '.join(ways)} |")
        print(f"|---|---|{'---|' * len(ways)}")
        for name in others:
            cells = []
            for way in ways.values():
                line = np.quantile(way(ordinary), 1 - share)
                hits = int((way(places[name]) > line).sum())
                low, high = wilson(hits, len(places[name]))
                cells.append(f"{hits / len(places[name]):.0%} ({low:.0%} to {high:.0%})")
            print(
                f"| {name.split('-', 2)[2].replace('-', ' ')} | {len(places[name])} | {' | '.join(cells)} |"
            )
        print()


def percentiles(values: np.ndarray, benign: np.ndarray) -> np.ndarray:
    """[n, 2] share of the benign rows that each bundle has below each value, ties half."""
    return np.stack(
        [
            (np.searchsorted(own, v, "left") + np.searchsorted(own, v, "right")) / (2 * len(own))
            for v, own in zip(values.T, np.sort(benign, axis=0).T, strict=True)
        ],
        axis=1,
    )


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(required=True)
    make = sub.add_parser("rows")
    make.add_argument("-o", "--output", type=Path, required=True)
    make.add_argument("--data", type=Path, default=common.DATA)
    make.add_argument("--per-kind", type=int, default=110)
    make.set_defaults(run=rows)
    compare = sub.add_parser("catch")
    compare.add_argument("scores", type=Path, nargs=2)
    compare.add_argument("--rows", type=Path, required=True)
    compare.add_argument("--flagged", type=float, nargs="+", default=[0.02, 0.1])
    compare.set_defaults(run=catch)
    args = p.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
