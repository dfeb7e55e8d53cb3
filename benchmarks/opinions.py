"""Do two bundles catch more than one, at the same number of false alarms?

    python benchmarks/opinions.py rows -o build/opinions       held-out rows by kind, a file each
    sqsd-lint score build/opinions/*.jsonl --max-length 192 -o one.jsonl                  with each bundle
    python benchmarks/opinions.py catch one.jsonl other.jsonl --rows build/opinions

Each way to decide gets the lines at which it flags the same share of the benign rows, so that none is better
by flagging more: one bundle alone, either of them, both, and the mean of their percentiles.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import common
import numpy as np
from default_bundle import held_out
from scipy.stats import spearmanr

from sqsd_lint.bundle.agreement import read_scores
from sqsd_lint.config import Settings
from sqsd_lint.run.rows import clean_samples
from sqsd_lint.training.data import select

DRAWS = 1000


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


WAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "first alone": lambda p: p[:, 0],
    "second alone": lambda p: p[:, 1],
    "any": lambda p: p.max(1),
    "all": lambda p: p.min(1),
    "mean percentile": lambda p: p.mean(1),
}


def catch(args: argparse.Namespace) -> None:
    scores = [read_scores(path) for path in args.scores]
    kinds: dict[str, np.ndarray] = {}  # [n, 2]
    for path in sorted(args.rows.glob("*.jsonl")):
        samples = list(clean_samples(str(path), Settings()))
        for sample in samples:
            if any(sample.fingerprint not in one for one in scores):
                raise SystemExit(f"{sample.where}: not scored by both; score the same files")
        kinds[path.stem] = np.array([[one[s.fingerprint] for one in scores] for s in samples])
    benign = np.concatenate([values for name, values in kinds.items() if "-benign-" in name])
    print(f"{len(benign)} benign rows, Spearman of the two bundles {spearmanr(*benign.T)[0]:+.2f}")
    for share in args.flagged:
        print(f"\nShare of rows caught where each way flags {share:.1%} of the benign ones; in brackets how")
        print("much more than the first and than the second alone, in points (95 % of draws of all rows):\n")
        print(f"| rows | n | {' | '.join(WAYS)} |")
        print(f"|---|---|{'---|' * len(WAYS)}")
        for name, values in kinds.items():
            if "-benign-" in name:
                continue
            found = caught(benign, values, share)
            draws = np.array([caught(*drawn, share) for drawn in redrawn(benign, values)])  # [draws, ways]
            cells = [f"{x:.0%}" for x in found[:2]]
            for way in range(2, len(WAYS)):
                more = 100 * (draws[:, way, None] - draws[:, :2])  # [draws, 2]
                ends = [np.quantile(more[:, k], (0.025, 0.975)) for k in range(2)]
                said = "; ".join(f"{low:+.0f} to {high:+.0f}" for low, high in ends)
                cells.append(f"{found[way]:.0%} ({said})")
            kind = name.split("-", 2)[2].replace("-", " ")
            print(f"| {kind} | {len(values)} | {' | '.join(cells)} |", flush=True)


def caught(benign: np.ndarray, values: np.ndarray, share: float) -> np.ndarray:
    """[ways] share of the rows above the line that each way draws; a row on the line counts in part."""
    ordinary, places = percentiles(benign, benign), percentiles(values, benign)
    found = []
    for way in WAYS.values():
        own, there = np.sort(way(ordinary)), way(places)
        wanted = share * len(own)
        line = own[-max(1, int(np.ceil(wanted)))]
        above, on = (own > line).sum(), (own == line).sum()
        found.append((there > line).mean() + (wanted - above) / on * (there == line).mean())
    return np.array(found)


def redrawn(benign: np.ndarray, values: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(0)
    for _ in range(DRAWS):
        yield tuple(each[generator.integers(len(each), size=len(each))] for each in (benign, values))


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
