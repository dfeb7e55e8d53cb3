"""How often rows of each kind reach the thresholds, by the reference scores that a bundle ships.

    python benchmarks/rates.py [--bundle default] [--splits 20] [--json FILE]

No model is loaded: a bundle keeps the scores of its reference rows. The rows of each kind are split in halves
by chance, the calibration is fitted on one half and the rates are taken on the other, so that nothing is
chosen and reported on the same rows. A rate is the mean over splits; its interval is Wilson's for all rows of
the kind.
The peer is the paper's SQSD by one threshold for all lengths, at the same rates.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from sqsd_lint.bundle.calibrate import stored_sets
from sqsd_lint.bundle.manifest import HARM
from sqsd_lint.bundle.resolve import open_bundle
from sqsd_lint.common.length_curve import LengthCurve, fit_length_curve
from sqsd_lint.rules.calibration import ScoreCalibration, wilson_interval
from sqsd_lint.types import Score

LEVELS = {"warning": 99.0, "error": 99.9}
Kinds = dict[str, list[Score]]


def measure(
    benign: Kinds, harmful: Kinds, weight: float, *, by_length: bool, splits: int
) -> dict[str, dict[str, float]]:
    """Return the mean share of each kind at or above each level's threshold, on rows that did not make it."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for seed in range(splits):
        draw = random.Random(seed)
        fitted: Kinds = {}
        rest: Kinds = dict(harmful)
        for kind, rows in benign.items():
            order = draw.sample(rows, len(rows))
            fitted[kind], rest[kind] = order[: len(rows) // 2], order[len(rows) // 2 :]
        every = [(s.combined(weight), s.tokens, kind) for kind, rows in fitted.items() for s in rows]
        curve = fit_length_curve(*zip(*every, strict=True)) if by_length else LengthCurve()

        def risk(score: Score, curve: LengthCurve = curve) -> float:
            return curve.standardize(score.combined(weight), score.tokens)

        kinds = {kind: tuple(map(risk, rows)) for kind, rows in fitted.items()} if by_length else {}
        calibration = ScoreCalibration(tuple(risk(s) for rows in fitted.values() for s in rows), kinds=kinds)
        for level, percentile in LEVELS.items():
            value = calibration.value_at(percentile)
            pooled = [risk(s) >= value for kind in benign for s in rest[kind]]
            found["all benign"][level].append(sum(pooled) / len(pooled))
            for kind, rows in rest.items():
                found[kind][level].append(sum(risk(s) >= value for s in rows) / len(rows))
    return {kind: {level: sum(v) / len(v) for level, v in levels.items()} for kind, levels in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", default=None)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    bundle = open_bundle(args.bundle)
    benign, harmful = (
        {s.name: list(s.scores) for s in stored_sets(bundle, r)} for r in ("benign", "harmful")
    )
    harm = bundle.manifest.directions.get(HARM)
    ways: dict[str, Callable[[], dict[str, dict[str, float]]]] = {
        "SQSD, one threshold": lambda: measure(benign, harmful, 0.0, by_length=False, splits=args.splits),
        "SQSD by length": lambda: measure(benign, harmful, 0.0, by_length=True, splits=args.splits),
        "risk by length": lambda: measure(
            benign, harmful, harm.weight if harm else 0.0, by_length=True, splits=args.splits
        ),
    }
    results = {name: way() for name, way in ways.items()}
    sizes = {**{k: len(v) for k, v in benign.items()}, **{k: len(v) for k, v in harmful.items()}}
    sizes = {"all benign": sum(map(len, benign.values())), **sizes}
    print(f"| rows | n | {' | '.join(results)} | 95 % interval of the last |")
    print("|---|---|" + "---|" * (len(results) + 1))
    for kind, n in sizes.items():
        cells = [f"{100 * r[kind]['warning']:.1f} / {100 * r[kind]['error']:.1f}" for r in results.values()]
        last = results["risk by length"][kind]
        spans = [wilson_interval(round(last[level] * n), n) for level in LEVELS]
        interval = ", ".join(f"{100 * low:.1f} to {100 * high:.1f}" for low, high in spans)
        print(f"| {kind}{' (harmful)' if kind in harmful else ''} | {n} | {' | '.join(cells)} | {interval} |")
    if args.json:
        args.json.write_text(json.dumps({"rows": sizes, "shares": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
