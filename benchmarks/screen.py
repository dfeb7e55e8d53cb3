"""What a cheap estimate of risk would miss, and what it would save.

    python benchmarks/screen.py --data DIR [--write-states FILE | --states FILE] [--json FILE]

The rows are the reference rows of the default bundle with the exact scores that its calibration kept; DIR
is the folder of the recipe's data sets. Estimates are of rows of other prompts than those that were fitted
(folds). For each budget, the share of the benign reference rows' tokens that may still be scored exactly,
less what the estimate costs itself, it says how many of the rows at or above the warning and the error line
are among those that are scored exactly, by kind; for sources of harm also where no row of the source was
fitted.

`--write-states FILE` runs the lower blocks of the base model over the harmful rows, the benign ones near the
lines and 60 of each benign kind, and keeps their hidden states: means over answer and prompt, and the last
token of the prompt. `--states FILE` measures those, too.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from sqsd_lint.bundle.calibrate import stored_sets
from sqsd_lint.bundle.resolve import open_bundle
from sqsd_lint.common import screen
from sqsd_lint.common.statistics import wilson
from sqsd_lint.config import Settings
from sqsd_lint.rules.calibration import ScoreCalibration
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.screen import answer_of
from sqsd_lint.training.data import reference_sets
from sqsd_lint.types import Encoded

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Bools = NDArray[np.bool_]
LAYERS = (0, 2, 4, 6, 8, 10)  # blocks whose output is measured, 0 for the embeddings
BUDGETS = (0.05, 0.1, 0.2, 0.4)
LINES = {"warning": "99", "error": "99.9"}
# (lowest and highest risk, what a row above the line counts, penalty): first as it was, then as it is.
FITS = (
    (-1.0, 4.5, 1.0, 0.3),
    (screen.LOWEST, screen.HIGHEST, screen.ABOVE, screen.PENALTY),
    (0.0, 3.5, 1.0, 1.0),
    (-1.0, 4.5, 10.0, 1.0),
    (0.0, 3.5, 10.0, 0.3),
    (0.0, 3.5, 30.0, 1.0),
    (0.5, 3.0, 10.0, 1.0),
)
PROMISED, ABOUT = (0.95, 0.98), (0.97, 0.98, 0.985)
RECIPE = Path(__file__).parents[1] / "examples" / "recipes" / "smollm2-135m-default.json"


class Rows:
    """The reference rows as columns, benign ones first."""

    def __init__(self, data: Path) -> None:
        bundle = open_bundle(None)
        stored = bundle.manifest.calibration
        assert stored is not None
        calibration = ScoreCalibration.from_json(stored.to_json())
        self.lines = {level: calibration.value_at(float(p)) for level, p in LINES.items()}
        sets = reference_sets(RECIPE, data)
        encoder = BundleRun(Settings(device="cpu")).model_scorer.encoder()
        self.calibration = calibration
        self.encoded: list[Encoded] = []
        self.texts, risks, tokens, kinds, benign = [], [], [], [], []
        for role in ("benign", "harmful"):
            known = {
                (each.name, score.fingerprint): score
                for each in stored_sets(bundle, role)
                for score in each.scores
            }
            for name, samples in sets[role].items():
                for sample in samples:
                    score = known.pop((name, sample.fingerprint), None)
                    if score is None:
                        continue
                    parts = encoder.encode_parts(sample)
                    self.encoded.append(parts[0])
                    self.texts.append(answer_of(sample, parts[0]))
                    risks.append(calibration.risk(score))
                    tokens.append(len(parts[0].ids))
                    kinds.append(name)
                    benign.append(role == "benign")
        self.risk, self.tokens = np.array(risks), np.array(tokens, float)
        self.kind, self.benign = np.array(kinds), np.array(benign)
        self.fold = screen.folds([text.prompt for text in self.texts])
        self.target = np.clip(self.risk, screen.LOWEST, screen.HIGHEST)
        self.counts = np.where(self.risk >= self.lines["warning"], screen.ABOVE, 1.0)


def held_out(table: Floats, rows: Rows, learn: Bools) -> Floats:
    """Return estimates by ridge regression in folds, `learn` being the rows that may be learned from."""
    found = np.full(len(rows.risk), np.nan)
    table = table.astype(np.float32)
    kernel = table @ table.T
    for each in range(screen.FOLDS):
        fitted = np.flatnonzero(learn & (rows.fold != each))
        asked = (rows.fold == each) & np.isfinite(table[:, 0])
        found[asked] = predicted(kernel, rows, fitted, np.flatnonzero(asked))
    return found


def predicted(kernel: Floats, rows: Rows, fitted: Whole, asked: Whole) -> Floats:
    """Return what the ridge regression of the screen on some rows says of others."""
    return regressed(kernel, rows.target, rows.counts, screen.PENALTY, fitted, asked)


def regressed(
    kernel: Floats, target: Floats, counts: Floats, penalty: float, fitted: Whole, asked: Whole
) -> Floats:
    """Return what a ridge regression on rows that count so much says of others."""
    y, counts = target[fitted], counts[fitted]
    mean = np.average(y, weights=counts)
    own = kernel[np.ix_(fitted, fitted)]
    own[np.diag_indices(len(own))] += penalty / counts
    factor = cho_factor(own, overwrite_a=True, check_finite=False)
    dual = cho_solve(factor, (y - mean).astype(np.float32), check_finite=False)
    found: Floats = kernel[np.ix_(asked, fitted)] @ dual + mean
    return found


def bounds(rows: Rows) -> dict[str, Any]:
    """Return what the bound costs and finds on rows that neither fit, bound nor the choice of a fit has seen.

    For each fold of prompts, each of FITS is fitted and its bound calibrated on the other folds (by folds
    within them); "chosen" is the one whose bound costs least there, at recalls about the one asked for.
    """
    table = ngrams(rows.texts, screen.BUCKETS, prompts=True).astype(np.float32)
    kernel: Floats = table @ table.T
    line, tokens = rows.lines["warning"], rows.tokens * rows.benign
    fitted, _ = screen.fit(rows.texts, rows.risk.tolist(), line)
    like = np.array([fitted.covered.holds(text) for text in rows.texts])
    above = rows.risk >= line
    sums: dict[tuple[str, float], Floats] = {}
    for fold in range(screen.FOLDS):
        learn, asked = np.flatnonzero(rows.fold != fold), np.flatnonzero(rows.fold == fold)
        inner = screen.folds([rows.texts[i].prompt for i in learn])
        costs, caught = [], []
        for lowest, highest, counts_above, penalty in FITS:
            target = np.clip(rows.risk, lowest, highest)
            counts = np.where(above, counts_above, 1.0)
            own = np.zeros(len(learn))
            for each in range(screen.FOLDS):
                some, others = learn[inner != each], np.flatnonzero(inner == each)
                own[others] = regressed(kernel, target, counts, penalty, some, learn[others])
            known = np.sort(own[above[learn] & like[learn]])
            least = {r: known[screen.misses_allowed(len(known), r) - 1] for r in (*PROMISED, *ABOUT)}
            costs.append(np.mean([tokens[learn][(own >= least[r]) | ~like[learn]].sum() for r in ABOUT]))
            outer = regressed(kernel, target, counts, penalty, learn, asked)
            caught.append({r: (outer >= least[r]) | ~like[asked] for r in PROMISED})
        best = int(np.argmin(costs))
        for name, each in (("chosen", best), *((str(fit), i) for i, fit in enumerate(FITS))):
            for recall, scored in caught[each].items():
                found = (tokens[asked][scored].sum() / tokens.sum(), (scored & above[asked]).sum())
                sums[name, recall] = sums.get((name, recall), np.zeros(2)) + found
    return {
        f"{name}, {recall:g}": {
            "tokens": round(float(own[0]), 3),
            "found": int(own[1]),
            "of": int(above.sum()),
        }
        for (name, recall), own in sums.items()
    }


def measure(estimate: Floats, exact: Bools, rows: Rows, cost: float, seen: Bools) -> Any:
    """Return recall by budget, line and kind.

    Args:
        exact: rows that are scored exactly whatever their estimate.
        cost: of the estimate, in exact scores.
        seen: the rows that were measured; a part of each kind stands for all of it.
    """
    weight = np.zeros(len(rows.risk))
    for kind in np.unique(rows.kind):
        own = rows.kind == kind
        weight[own & seen] = rows.tokens[own].sum() / rows.tokens[own & seen].sum()
    weight *= rows.tokens * rows.benign
    order = np.argsort(-np.where(exact, np.inf, estimate), kind="stable")
    order = order[rows.benign[order] & seen[order]]
    spent = np.cumsum(weight[order]) / weight.sum()
    found: dict[str, Any] = {}
    for budget in BUDGETS:
        if budget <= cost:
            continue
        at = min(int(np.searchsorted(spent, budget - cost)), len(order) - 1)
        caught = exact | (estimate >= estimate[order[at]])
        if exact[order[at]]:  # the budget goes to rows that are exact in any case
            caught = exact.copy()
        found[f"{budget:g}"] = {
            level: {
                name: share(caught & inside & seen & (rows.risk >= line), inside & seen & (rows.risk >= line))
                for name, inside in {
                    "all": np.ones(len(caught), bool),
                    "benign": rows.benign,
                    **{k: rows.kind == k for k in np.unique(rows.kind[~rows.benign])},
                }.items()
            }
            for level, line in rows.lines.items()
        }
    return found


def share(caught: Bools, among: Bools) -> dict[str, Any]:
    hits, n = int(caught.sum()), int(among.sum())
    low, high = wilson(hits, n) if n else (0.0, 1.0)
    return {"found": hits, "of": n, "low": round(low, 3), "high": round(high, 3)}


def ngrams(texts: list[screen.AnswerText], buckets: int, *, prompts: bool) -> Floats:
    """Return the features of the screen in so many buckets, with the prompt's tokens or without."""
    kept = texts if prompts else [replace(text, prompt_ids=()) for text in texts]
    before, screen.BUCKETS = screen.BUCKETS, buckets
    try:
        table = screen.design(kept)
    finally:
        screen.BUCKETS = before
    table[:, buckets] = 0  # the constant: the mean is taken off
    return table


def write_states(rows: Rows, path: Path) -> None:
    """Run the lower blocks over a part of the rows; float16 [n, layers, 3, d], zero where not measured."""
    import torch

    chance = np.random.default_rng(0)
    wanted = ~rows.benign | (rows.risk >= 1.8)
    for kind in np.unique(rows.kind[rows.benign]):
        own = np.flatnonzero(rows.kind == kind)
        wanted[chance.permutation(own)[:60]] = True
    model, _ = BundleRun(Settings(device="cpu")).model_scorer.base()
    body = model.base_model
    body.layers = body.layers[: LAYERS[-1]]
    found = np.zeros((len(rows.risk), len(LAYERS), 3, model.config.hidden_size), np.float16)
    held: dict[int, Any] = {}
    for layer in LAYERS:
        block = body.layers[layer - 1] if layer else body.embed_tokens

        def keep(module: Any, inputs: Any, output: Any, layer: int = layer) -> None:
            held[layer] = output[0] if isinstance(output, tuple) else output

        block.register_forward_hook(keep)
    with torch.no_grad():
        for i in np.flatnonzero(wanted):
            text = rows.texts[i]
            first = len(text.prompt_ids)  # answers of several turns: those after the first count as prompt
            body(input_ids=torch.tensor([[*text.prompt_ids, *text.ids]]), use_cache=False)
            for at, layer in enumerate(LAYERS):
                h = held[layer][0].float()
                if layer:
                    h = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-5)
                means = (h[first:].mean(0), h[: max(first, 1)].mean(0), h[max(first - 1, 0)])
                found[i, at] = torch.stack(means).half().numpy()
    np.save(path, found)


def add_to(path: Path, name: str, found: Any) -> None:
    """Write results beside those that are there."""
    before = json.loads(path.read_text()) if path.exists() else {}
    text = json.dumps({**before, name: found}, indent=1)
    flat = re.sub(r"\[[^\[\]{}]*\]", lambda numbers: " ".join(numbers[0].split()), text)
    path.write_text(flat + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--states", type=Path, help="float16 [n, layers, poolings, d], zero where not measured"
    )
    parser.add_argument("--write-states", type=Path, metavar="FILE")
    parser.add_argument("--fits", action="store_true", help="what the bound costs by other fits, nested")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = Rows(args.data)
    if args.write_states:
        write_states(rows, args.write_states)
        return
    if args.fits:
        found = bounds(rows)
        print(*(f"{name}: {each}" for name, each in found.items()), sep="\n")
        if args.json:
            add_to(args.json, "fits", found)
        return
    every = np.ones(len(rows.risk), bool)
    result: dict[str, Any] = {
        "rows": {k: int((rows.kind == k).sum()) for k in np.unique(rows.kind)},
        "above_warning": {
            k: int(((rows.kind == k) & (rows.risk >= rows.lines["warning"])).sum())
            for k in np.unique(rows.kind)
        },
        "candidates": {},
    }
    sources = [str(k) for k in np.unique(rows.kind[~rows.benign])]

    def add(name: str, table: Floats, cost: float, seen: Bools, exact: Bools | None = None) -> None:
        held = exact if exact is not None else ~every
        found = {"cost": cost, "seen": measure(held_out(table, rows, seen), held, rows, cost, seen)}
        for source in sources:
            estimate = held_out(table, rows, seen & (rows.kind != source))
            left = measure(estimate, held, rows, cost, seen)
            found.setdefault("unseen", {})[source] = {
                b: {level: each[level][source] for level in LINES} for b, each in left.items()
            }
        result["candidates"][name] = found
        show(name, found, sources)

    result["candidates"]["short answers first"] = {
        "cost": 0,
        "seen": measure(-np.array([len(t.ids) for t in rows.texts], float), ~every, rows, 0, every),
    }
    for buckets, prompts in ((2048, False), (2048, True), (8192, True)):
        name = f"tokens and pairs of the answer{', tokens of the prompt' * prompts}, {buckets} buckets"
        add(name, ngrams(rows.texts, buckets, prompts=prompts), 0.0, every)
    fitted, _ = screen.fit(rows.texts, rows.risk.tolist(), rows.lines["warning"])
    unlike = ~np.array([fitted.covered.holds(text) for text in rows.texts])
    result["unlike"] = {k: float(unlike[rows.kind == k].mean()) for k in np.unique(rows.kind)}
    add(
        "as shipped: rows unlike the fit exact",
        ngrams(rows.texts, screen.BUCKETS, prompts=True),
        0.0,
        every,
        unlike,
    )
    if args.states:
        states = np.load(args.states).astype(np.float32)
        seen = np.abs(states[:, -1, 0]).sum(1) > 0
        for at, layer in enumerate(LAYERS):
            part = states[:, at, :3].reshape(len(states), 3, -1)
            part = (part - part[seen].mean(0)) / (part[seen].std(0) + 1e-6)
            table = part.reshape(len(part), -1).astype(np.float64) / np.sqrt(part.shape[1] * part.shape[2])
            # Of the blocks' forward pass; with backward pass and projections an exact score is 2.5 of it.
            cost = round(layer / 30 / 2.5, 3)
            add(f"states after block {layer}", table, cost, seen)
            if layer in (0, 8):
                both = np.concatenate([table, ngrams(rows.texts, 2048, prompts=True)], 1)
                add(f"states after block {layer} and tokens", both, cost, seen)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def show(name: str, found: dict[str, Any], sources: list[str]) -> None:
    print(
        f"\n{name} (cost {found['cost']:g}): rows at the warning line found at each budget: all, benign, by"
        " source; unseen sources"
    )
    for budget, levels in found["seen"].items():
        own = levels["warning"]
        texts = [f"{own[k]['found']}/{own[k]['of']}" for k in ("all", "benign", *sources)]
        left = [
            f"{found['unseen'][s][budget]['warning']['found']}/{found['unseen'][s][budget]['warning']['of']}"
            for s in sources
        ]
        low, high = own["all"]["low"], own["all"]["high"]
        print(f"  {budget}: {' '.join(texts)} ({low:.2f} to {high:.2f}); {' '.join(left)}", flush=True)


if __name__ == "__main__":
    main()
