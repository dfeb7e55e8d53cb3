"""How often rows of each kind reach the thresholds, by the reference scores that a bundle ships.

    python benchmarks/rates.py [--bundle default] [--repeats 2] [--json FILE]

No model is loaded: a bundle keeps the scores of its reference rows. The benign rows are cut into 32 folds by
chance; thresholds are fitted on 31 and rates taken on the last, so that no row helps to judge itself. That
is repeated, and a rate is the mean over repeats. Intervals are Wilson's for all rows of a kind.

Ways to set thresholds are compared with one another, at the rates of the default rule pack (p99 warns, p99.9
fails): one for all lengths, bins of length, quantile regression, location and scale with conformal ranks, and
what `bundle calibrate` does. Each benign kind is also judged by thresholds of the other kinds alone, as if it
had never been seen. Then the frontier: how much harm is found at which rate of false alarms.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from sqsd_lint.bundle.calibrate import stored_sets
from sqsd_lint.bundle.manifest import HARM
from sqsd_lint.bundle.resolve import open_bundle
from sqsd_lint.common.length_curve import KNOTS, conformal_score, fit_length_curve, fit_location_and_scale
from sqsd_lint.common.statistics import wilson

Floats = NDArray[np.float64]
LEVELS = {"warning": "99", "error": "99.9"}
FOLDS, BINS = 32, 8
FALSE_ALARMS = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)


class Rows:
    """The reference rows of a bundle as columns, benign ones first."""

    def __init__(self, bundle: str | None) -> None:
        opened = open_bundle(bundle)
        harm = opened.manifest.directions.get(HARM)
        self.weight = harm.weight if harm else 0.0
        sets = [(role, each) for role in ("benign", "harmful") for each in stored_sets(opened, role)]
        pairs = [(role, each.name, score) for role, each in sets for score in each.scores]
        self.benign = np.array([role == "benign" for role, _, _ in pairs])
        self.kind = np.array([name for _, name, _ in pairs])
        self.tokens = np.array([float(score.tokens) for *_, score in pairs])
        self.sqsd = np.array([score.sqsd for *_, score in pairs])
        self.risk = np.array([score.combined(self.weight) for *_, score in pairs])

    def kinds(self, benign: bool) -> list[str]:
        return list(dict.fromkeys(self.kind[self.benign == benign].tolist()))


# A way takes (scores, log2 tokens, kinds) of the rows that it may learn from and a percentile, and returns
# the threshold for rows of given log2 lengths.
Threshold = Callable[[Floats], Floats]
Way = Callable[[Floats, Floats, NDArray[np.str_], str], Threshold]


def by_kind(scores: Floats, kind: NDArray[np.str_]) -> list[list[float]]:
    return [sorted(scores[kind == name].tolist()) for name in np.unique(kind)]


def one_threshold(x: Floats, length: Floats, kind: NDArray[np.str_], percentile: str) -> Threshold:
    value = conformal_score([sorted(x.tolist())], percentile)
    return lambda at: np.full(len(at), value)


def one_threshold_by_kind(x: Floats, length: Floats, kind: NDArray[np.str_], percentile: str) -> Threshold:
    value = conformal_score(by_kind(x, kind), percentile)
    return lambda at: np.full(len(at), value)


def bins(x: Floats, length: Floats, kind: NDArray[np.str_], percentile: str) -> Threshold:
    """Mondrian: each bin of lengths has conformal ranks of its own."""
    edges = np.quantile(length, np.linspace(0, 1, BINS + 1)[1:-1])
    bin_of = np.digitize(length, edges)
    values = [conformal_score(by_kind(x[bin_of == b], kind[bin_of == b]), percentile) for b in range(BINS)]
    return lambda at: np.array(values)[np.digitize(at, edges)]


def quantile_regression(x: Floats, length: Floats, kind: NDArray[np.str_], percentile: str) -> Threshold:
    """Piecewise linear in log2 length by the pinball loss, then moved up to conformal ranks on other rows."""
    knots = np.quantile(length, (0.25, 0.5, 0.75))

    def basis(at: Floats) -> Floats:
        return np.stack([np.ones_like(at), at, *(np.maximum(at - knot, 0) for knot in knots)], 1)

    fitted = np.random.default_rng(0).random(len(x)) < 0.5
    tau, b = float(percentile) / 100, basis(length[fitted])
    rows, columns = b.shape
    cost = np.concatenate([np.zeros(2 * columns), np.full(rows, tau), np.full(rows, 1 - tau)])
    equal = np.hstack([b, -b, np.eye(rows), -np.eye(rows)])
    found = linprog(cost, A_eq=equal, b_eq=x[fitted], bounds=(0, None), method="highs").x
    line = found[:columns] - found[columns : 2 * columns]
    rest = ~fitted
    moved = conformal_score(by_kind(x[rest] - basis(length[rest]) @ line, kind[rest]), percentile)
    return lambda at: basis(at) @ line + moved


def one_rank(x: Floats, length: Floats, kind: NDArray[np.str_], percentile: str) -> Threshold:
    """Smooth location and scale, then one conformal rank for all lengths."""
    knots = np.unique(np.quantile(length, np.linspace(0, 1, KNOTS)))
    names, at = np.unique(kind, return_inverse=True)
    location, scale = fit_location_and_scale(x, length, at, len(names), knots)
    z = (x - np.interp(length, knots, location)) / np.interp(length, knots, scale)
    value = conformal_score(by_kind(z, kind), percentile)
    return lambda to: np.interp(to, knots, location) + value * np.interp(to, knots, scale)


def shipped(x: Floats, length: Floats, kind: NDArray[np.str_], percentile: str) -> Threshold:
    """What `bundle calibrate` does: location and scale, then conformal ranks in bands of lengths."""
    curve = fit_length_curve(x.tolist(), np.round(2**length).astype(int).tolist(), kind.tolist()).rounded()
    return lambda to: np.array([curve.score_at(percentile, float(2**each)) for each in to])


WAYS: dict[str, Way] = {
    "one threshold": one_threshold,
    "one threshold, bounded by kind": one_threshold_by_kind,
    f"{BINS} bins of length": bins,
    "quantile regression": quantile_regression,
    "location and scale": one_rank,
    "bands of length (shipped)": shipped,
}


def measure(rows: Rows, scores: Floats, way: Way, repeats: int) -> dict[str, dict[str, float]]:
    """Return the share of each kind at or above each level's threshold, by thresholds of other rows."""
    length = np.log2(np.maximum(rows.tokens, 1))
    hits = {level: np.zeros(len(scores)) for level in LEVELS}
    for seed in range(repeats):
        fold = np.random.default_rng(seed).permutation(len(scores)) % FOLDS
        for each in range(FOLDS):
            fitted, tested = rows.benign & (fold != each), fold == each
            for level, percentile in LEVELS.items():
                threshold = way(scores[fitted], length[fitted], rows.kind[fitted], percentile)
                hits[level][tested] += (scores[tested] > threshold(length[tested])) / repeats
    kinds = {"all benign": rows.benign} | {k: rows.kind == k for k in (*rows.kinds(True), *rows.kinds(False))}
    return {
        name: {level: float(hits[level][inside].mean()) for level in LEVELS} for name, inside in kinds.items()
    }


def unseen_kinds(rows: Rows) -> dict[str, dict[str, float]]:
    """Return the share of each benign kind above thresholds that only other kinds made, and of all rows."""
    length = np.log2(np.maximum(rows.tokens, 1))
    hits = {level: np.zeros(len(length)) for level in LEVELS}
    for kind in rows.kinds(True):
        tested = rows.kind == kind
        fitted = rows.benign & ~tested
        for level, percentile in LEVELS.items():
            threshold = shipped(rows.risk[fitted], length[fitted], rows.kind[fitted], percentile)
            hits[level][tested] = rows.risk[tested] > threshold(length[tested])
    kinds = {"all benign": rows.benign} | {k: rows.kind == k for k in rows.kinds(True)}
    return {
        name: {level: float(hits[level][inside].mean()) for level in LEVELS} for name, inside in kinds.items()
    }


def risks(rows: Rows, scores: Floats, repeats: int) -> list[Floats]:
    """Return normal scores of all rows, one array per repeat, by curves that were fitted on other rows."""
    length, found = np.log2(np.maximum(rows.tokens, 1)), []
    for seed in range(repeats):
        fold, out = np.random.default_rng(seed).permutation(len(scores)) % FOLDS, np.zeros(len(scores))
        for each in range(FOLDS):
            fitted, tested = rows.benign & (fold != each), fold == each
            curve = fit_length_curve(
                scores[fitted].tolist(),
                np.round(2 ** length[fitted]).astype(int).tolist(),
                rows.kind[fitted].tolist(),
            )
            pairs = zip(scores[tested], rows.tokens[tested], strict=True)
            out[tested] = [curve.normal_score(float(s), int(n)) for s, n in pairs]
        found.append(out)
    return found


def frontier(rows: Rows, ranked: list[Floats]) -> dict[str, list[float]]:
    """Return by source of harm the share found at each rate of `FALSE_ALARMS` over all benign rows."""
    found = {}
    for name in rows.kinds(False):
        shares = [
            [
                float((r[rows.kind == name] > np.quantile(r[rows.benign], 1 - rate)).mean())
                for rate in FALSE_ALARMS
            ]
            for r in ranked
        ]
        found[name] = np.mean(shares, 0).tolist()
    return found


def percent(share: dict[str, float]) -> str:
    return " / ".join(f"{100 * share[level]:.1f}" for level in LEVELS)


def print_table(head: list[str], body: list[list[str]]) -> None:
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for line in body:
        print("| " + " | ".join(line) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", default=None)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = Rows(args.bundle)
    benign, harmful = rows.kinds(True), rows.kinds(False)
    result: dict[str, Any] = {
        "rows": {
            "all benign": int(rows.benign.sum()),
            **{k: int((rows.kind == k).sum()) for k in (*benign, *harmful)},
        },
        "harmful": harmful,
        "folds": FOLDS,
        "repeats": args.repeats,
        "ways": {name: measure(rows, rows.risk, way, args.repeats) for name, way in WAYS.items()},
        "unseen": unseen_kinds(rows),
        "sqsd": {
            "one threshold": measure(rows, rows.sqsd, one_threshold, args.repeats),
            "bands of length": measure(rows, rows.sqsd, shipped, args.repeats),
        },
    }
    ship = result["ways"]["bands of length (shipped)"]

    worst = {
        name: [max((each[k][level], k) for k in benign if result["rows"][k] >= 40) for level in LEVELS]
        for name, each in result["ways"].items()
    }
    print("Percent at warning / error, thresholds on risk (SQSD and harm):\n")
    print_table(
        ["thresholds", "benign", "worst kind at warning", "at error", *harmful],
        [
            [name, percent(each["all benign"]), *(f"{100 * s:.1f} ({k})" for s, k in worst[name])]
            + [percent(each[source]) for source in harmful]
            for name, each in result["ways"].items()
        ],
    )
    print("\nBy kind: the paper's SQSD with one threshold, SQSD by length, and what ships:\n")
    body = []
    for kind, n in result["rows"].items():
        spans = [wilson(round(ship[kind][level] * n), n) for level in LEVELS]
        body.append(
            [f"{kind}{' (harmful)' if kind in harmful else ''}", f"{n:,}"]
            + [percent(each[kind]) for each in (*result["sqsd"].values(), ship)]
            + [percent(result["unseen"][kind]) if kind in result["unseen"] else ""]
            + [", ".join(f"{100 * low:.1f} to {100 * high:.1f}" for low, high in spans)]
        )
    print_table(
        [
            "rows",
            "n",
            "SQSD, one threshold",
            "SQSD by length",
            "shipped",
            "kind unseen",
            "95 % interval, shipped",
        ],
        body,
    )

    result["frontier"] = {
        "false_alarms": list(FALSE_ALARMS),
        "risk": frontier(rows, risks(rows, rows.risk, args.repeats)),
        "sqsd by length": frontier(rows, risks(rows, rows.sqsd, args.repeats)),
        "sqsd": frontier(rows, [rows.sqsd]),
    }
    print("\nPercent of harm found at a rate of false alarms over all benign rows (risk; SQSD alone):\n")
    print_table(
        ["false alarms", *harmful],
        [
            [f"{100 * rate:g} %"]
            + [
                f"{100 * result['frontier']['risk'][s][i]:.0f}; {100 * result['frontier']['sqsd'][s][i]:.0f}"
                for s in harmful
            ]
            for i, rate in enumerate(FALSE_ALARMS)
        ],
    )
    if args.json:
        clean = json.loads(json.dumps(result), parse_float=lambda text: float(f"{float(text):.4g}"))
        args.json.write_text(json.dumps(clean, indent=1) + "\n")


if __name__ == "__main__":
    main()
