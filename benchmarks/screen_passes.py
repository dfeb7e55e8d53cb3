"""What estimates of risk by a model would miss, and what they would cost: the costlier part of `screen.py`.

    python benchmarks/screen_passes.py --data DIR --passes FOLDER --write
    python benchmarks/screen_passes.py --data DIR --passes FOLDER [--json FILE]

The first runs the default model over all reference rows above the warning line and a part of the others, some
rows at a time, each in a file of its own in FOLDER: run again, it goes on where it was stopped. Every pass is
timed on the same rows as the exact score, in CPU seconds. The second measures what is there:

- losses under the danger and the safety adapter (two forward passes);
- the exact score of the row cut after 16 or 32 answer tokens, and of 32 answer tokens without the prompt;
- the projections in the top blocks alone (a forward pass and a part of the backward pass);
- projections of the answer's mean state in a middle block: on the difference between harmful and benign rows
  (a persona vector) and of similarities to harmful and to safe training rows (LARF).

Benign rows below the line are drawn from each kind, more of those that the estimate from tokens places high
(the highest 40 % of the tokens), and weigh as many tokens as there are of their kind and place. What is
fitted is fitted to rows of other prompts.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from screen import BUDGETS, LINES, RECIPE, Bools, Floats, Rows, add_to, ngrams, predicted, share

from sqsd_lint.common import screen
from sqsd_lint.types import Encoded, Score

CUTS = (16, 32)
TOP = (1, 3, 5, 10)  # blocks whose projections are looked at, from the top
STATES = (10, 15, 20)  # blocks whose output is kept
AT_A_TIME = 24
TIMED = 3  # files of rows on which the top blocks are scored for real
HEADER = 3  # tokens that begin an assistant's turn
HIGH = 0.4  # share of the benign tokens, highest estimates first, that more rows are drawn from
EXAMPLES = 60  # of harmful and of safe training rows each


def strata(rows: Rows) -> NDArray[np.str_]:
    """Return what rows are drawn by: kind, above the line or not, and place by the estimate from tokens."""
    _, by_tokens = screen.fit(rows.texts, rows.risk.tolist(), rows.lines["warning"])
    order = np.argsort(-np.where(rows.benign, by_tokens, -np.inf), kind="stable")
    spent = np.cumsum(rows.tokens[order] * rows.benign[order]) / rows.tokens[rows.benign].sum()
    high = by_tokens >= by_tokens[order[np.searchsorted(spent, HIGH)]]
    above = rows.risk >= rows.lines["warning"]
    place = np.where(above, "above", np.where(high | ~rows.benign, "high", "low"))
    return np.char.add(np.char.add(rows.kind.astype(str), " "), place)


def drawn(rows: Rows, stratum: NDArray[np.str_]) -> NDArray[np.int64]:
    """Return the rows that are run, in random order: those above the line and a part of each stratum."""
    chance = np.random.default_rng(0)
    wanted = rows.risk >= rows.lines["warning"]
    for each in np.unique(stratum[~wanted]):
        own = np.flatnonzero(stratum == each)
        least, many = (4, 150) if each.endswith("high") else (3, 70)
        count = least + round(many * rows.tokens[own].sum() / rows.tokens[rows.benign].sum())
        wanted[chance.permutation(own)[: count if rows.benign[own[0]] else 20]] = True
    return chance.permutation(np.flatnonzero(wanted))


def write(rows: Rows, data: Path, folder: Path) -> None:
    """Run all passes over the drawn rows, and over examples for LARF."""
    import torch

    from sqsd_lint.adapters.factors import load_adapter
    from sqsd_lint.config import Settings
    from sqsd_lint.encode import Encoder
    from sqsd_lint.run.bundle_run import BundleRun
    from sqsd_lint.run.model_scorer import scored_modules
    from sqsd_lint.scoring import Direction, Scorer
    from sqsd_lint.training.data import training_sets

    folder.mkdir(parents=True, exist_ok=True)
    run = BundleRun(Settings(device="cpu", dtype="bfloat16", cache=False))
    encoder, exact = run.model_scorer.parts()
    assert isinstance(encoder, Encoder)
    model, directions = exact.model, run.model_scorer.directions
    names = {name for each in directions for name in each.vector.factors}
    adapters = {name: load_adapter(run.bundle.adapter_dir(name), model) for name in ("danger", "safety")}
    # One scorer a forward pass: its only expansion point is the adapter itself.
    under = {name: Scorer(model, [Direction(name, each, each)]) for name, each in adapters.items()}
    top = {k: Scorer(model, directions, metric=exact.metric, modules=scored_modules(names, k)) for k in TOP}
    if not (folder / "examples.npz").exists():
        found = {}
        for role, sets in training_sets(RECIPE, data).items():
            some = [sample for own in sets.values() for sample in own]
            order = np.random.default_rng(0).permutation(len(some))[:EXAMPLES]
            picked = [encoder.encode_parts(some[i])[0] for i in order]
            found[role], _ = states(exact, picked)
        np.savez(folder / "examples.npz", **found)
    if not (folder / "strata.npy").exists():  # a later fit of the screen would draw others
        np.save(folder / "strata.npy", strata(rows))
    order = drawn(rows, np.load(folder / "strata.npy"))
    for number, begin in enumerate(range(0, len(order), AT_A_TIME)):
        path = folder / f"rows-{number:03}.npz"
        if path.exists():
            continue
        some = order[begin : begin + AT_A_TIME]
        encoded = [rows.encoded[i] for i in some]
        kept: dict[str, Any] = {"rows": some}
        seconds: dict[str, float] = {}

        def timed(name: str, work: Callable[[], Any], seconds: dict[str, float] = seconds) -> Any:
            before = time.process_time()
            found = work()
            seconds[name] = time.process_time() - before
            return found

        whole = timed("exact", partial(exact.project, encoded, keep_modules=True))
        blocks = 1 + max(int(m[1]) for name in whole.per_module if (m := re.search(r"\.(\d+)\.", name)))
        terms = torch.zeros(blocks, len(some), exact.columns)
        for name, part in whole.per_module.items():
            m = re.search(r"\.(\d+)\.", name)
            assert m is not None
            terms[int(m[1])] += part
        kept["blocks"], kept["loss"] = terms.transpose(0, 1).numpy(), whole.loss.numpy()
        for most in CUTS if number % 2 == 0 else ():  # they cost too much to matter: half of the rows tell
            cut = [cut_after(row, most) for row in encoded]
            kept[f"cut{most}"] = timed(f"cut{most}", partial(exact.project, cut)).values.numpy()
        alone = [without_prompt(cut_after(row, CUTS[-1])) for row in encoded]
        kept["alone"] = timed("alone", partial(exact.project, alone)).values.numpy()
        for name, scorer in under.items():
            kept[name] = timed(name, partial(losses, scorer, encoded))
        kept["states"], seconds["states"] = states(exact, encoded)
        for k in TOP if number < TIMED else ():
            timed(f"top{k}", partial(top[k].project, encoded))
        np.savez(path, **kept, seconds=np.array(json.dumps(seconds)))
        print(number, {name: round(each, 1) for name, each in seconds.items()}, flush=True)


def cut_after(row: Encoded, most: int) -> Encoded:
    """Return a row that ends with so many answer tokens."""
    at = [i for i, label in enumerate(row.labels) if label != -100]
    end = at[min(most, len(at)) - 1] + 1
    return replace(row, ids=row.ids[:end], labels=row.labels[:end], response_tokens=min(most, len(at)))


def without_prompt(row: Encoded) -> Encoded:
    """Return a row from the header of its first answer on."""
    first = next(i for i, label in enumerate(row.labels) if label != -100)
    begin = max(first - HEADER, 0)
    return replace(row, ids=row.ids[begin:], labels=row.labels[begin:])


def losses(scorer: Any, rows: Sequence[Encoded]) -> Floats:
    """Return mean losses of the first 16, the first 32 and all answer tokens, [n, 3], by forward passes."""
    import torch

    from sqsd_lint.scoring.attention import causal_attention
    from sqsd_lint.scoring.batching import pad
    from sqsd_lint.scoring.lm_head import LossHead
    from sqsd_lint.scoring.patched_linear import expanded
    from sqsd_lint.scoring.projections import ProjectionSum

    head, found = LossHead(scorer.model), np.zeros((len(rows), len(CUTS) + 1))

    def forward(picked: Sequence[Encoded]) -> Floats:
        ids, labels = pad(picked, scorer.device)
        with torch.no_grad(), causal_attention(), expanded(scorer.model, scorer.points[0], ProjectionSum()):
            hidden = scorer.model.base_model(input_ids=ids, use_cache=False).last_hidden_state
            own = np.zeros((len(picked), len(CUTS) + 1))
            for i in range(len(picked)):
                at = (labels[i, 1:] != -100).nonzero(as_tuple=True)[0]
                logits = head.logits(hidden[i, at])
                each = torch.nn.functional.cross_entropy(logits, labels[i, at + 1], reduction="none")
                own[i] = [float(each[:most].mean()) for most in (*CUTS, None)]
        return own

    for batch, own in scorer.batches(rows, forward):
        found[batch] = own
    return found


def states(scorer: Any, rows: Sequence[Encoded]) -> tuple[NDArray[np.float32], float]:
    """Return mean states of the answer and the state of its last token, [n, STATES, 2, d], and CPU seconds.

    Of the base model, no expansion adapter, and its lower blocks alone.
    """
    import torch

    from sqsd_lint.scoring.attention import causal_attention
    from sqsd_lint.scoring.batching import pad

    body = scorer.model.base_model
    every, held = body.layers, {}
    hooks = []
    for block in STATES:

        def keep(module: Any, inputs: Any, output: Any, block: int = block) -> None:
            held[block] = output[0] if isinstance(output, tuple) else output

        hooks.append(every[block - 1].register_forward_hook(keep))
    found = np.zeros((len(rows), len(STATES), 2, scorer.model.config.hidden_size), np.float32)

    def forward(picked: Sequence[Encoded]) -> NDArray[np.float32]:
        ids, labels = pad(picked, scorer.device)
        own = np.zeros((len(picked), *found.shape[1:]), np.float32)
        with torch.no_grad(), causal_attention():
            body(input_ids=ids, use_cache=False)
        for at, block in enumerate(STATES):
            for i in range(len(picked)):
                h = held[block][i][labels[i] != -100].float()
                own[i, at, 0], own[i, at, 1] = h.mean(0).numpy(), h[-1].numpy()
        return own

    before = time.process_time()
    try:
        body.layers = every[: STATES[-1]]
        for batch, own in scorer.batches(rows, forward):
            found[batch] = own
    finally:
        body.layers = every
        for hook in hooks:
            hook.remove()
    return found, time.process_time() - before


class Passes:
    """What the passes gave, as columns over all reference rows, NaN where a row was not run.

    Attributes:
        seen: rows that were run.
        weight: [n] tokens that a benign row stands for, as a share of the benign rows'; 0 where not run.
        stands: [n] rows that each stands for, 0 where not run.
        seconds: CPU seconds of each pass as a share of the exact score's on the same rows.
    """

    def __init__(self, rows: Rows, folder: Path) -> None:
        stratum = np.load(folder / "strata.npy")
        n, parts = len(rows.risk), []
        spent: list[dict[str, float]] = []
        for path in sorted(folder.glob("rows-*.npz")):
            with np.load(path) as file:
                parts.append(dict(file))
            spent.append(json.loads(str(parts[-1].pop("seconds"))))
        self.seconds = {
            name: sum(each[name] for each in spent if name in each)
            / sum(each["exact"] for each in spent if name in each)
            for name in {name for each in spent for name in each}
        }
        self.columns: dict[str, Floats] = {}
        for part in parts:
            for name, values in part.items():
                if name != "rows":
                    whole = self.columns.setdefault(name, np.full((n, *values.shape[1:]), np.nan))
                    whole[part["rows"]] = values
        self.seen = np.isfinite(self.columns["loss"])
        self.weight, self.stands = np.zeros(n), np.zeros(n)
        for each in np.unique(stratum):
            own = stratum == each
            run = own & self.seen
            if run.any():
                self.weight[run] = rows.tokens[run] * rows.tokens[own].sum() / rows.tokens[run].sum()
                self.stands[run] = own.sum() / run.sum()
        self.weight *= rows.benign / (self.weight * rows.benign).sum()
        with np.load(folder / "examples.npz") as file:
            self.examples = dict(file)


class Tokens:
    """Estimates by the screen's features, also nested: by fits to neither of two folds."""

    def __init__(self, rows: Rows) -> None:
        table = ngrams(rows.texts, screen.BUCKETS, prompts=True).astype(np.float32)
        self._kernel: Floats = table @ table.T
        self._rows = rows
        self._known: dict[tuple[int, int, str], Floats] = {}

    def without(self, one: int, two: int, source: str = "") -> Floats:
        """Return the estimates of all rows of two folds by a fit to the others, but for a source."""
        key = (min(one, two), max(one, two), source)
        if key not in self._known:
            rows = self._rows
            asked = (rows.fold == one) | (rows.fold == two)
            fitted = np.flatnonzero(~asked & (rows.kind != source))
            found = np.full(len(rows.risk), np.nan)
            found[asked] = predicted(self._kernel, rows, fitted, np.flatnonzero(asked))
            self._known[key] = found
        return self._known[key]

    def nested(self, fold: int, source: str = "") -> Floats:
        """Return the estimates of all rows by fits to other folds than their own and this one."""
        found = np.full(len(self._rows.risk), np.nan)
        for each in range(screen.FOLDS):
            own = self._rows.fold == each
            found[own] = self.without(fold, each, source)[own]
        return found

    def held_out(self, source: str = "") -> Floats:
        """Return the estimates of all rows by fits to other folds."""
        found = np.full(len(self._rows.risk), np.nan)
        for each in range(screen.FOLDS):
            own = self._rows.fold == each
            found[own] = self.without(each, each, source)[own]
        return found


# What an estimate knows of a row: [n] or [n, p], or of a fold's rows by what other rows are like.
Known = Callable[[Bools], Floats]


def fitted(known: Known, rows: Rows, passes: Passes, tokens: Tokens | None, source: str = "") -> Floats:
    """Return estimates by ridge regression on what is known and the answer's length, in folds by prompt.

    Args:
        known: returns columns of all rows, given the rows that may be learned from.
        tokens: to add their estimate as a column.
        source: rows of it are not learned from.
    """
    found = np.full(len(rows.risk), np.nan)
    length = np.log2([len(text.ids) for text in rows.texts])
    for fold in range(screen.FOLDS):
        learn = passes.seen & (rows.fold != fold) & (rows.kind != source)
        own = known(learn)
        own = own[:, None] if own.ndim == 1 else own
        if tokens:
            own = np.concatenate([own, tokens.nested(fold, source)[:, None]], 1)
        usable = np.isfinite(own).all(1)
        learn &= usable
        own = (own - own[learn].mean(0)) / (own[learn].std(0) + 1e-9)
        at = ((length - length[learn].mean()) / length[learn].std())[:, None]
        table = np.concatenate([own, own * at, at, at**2], 1)
        counts = passes.stands[learn] * rows.counts[learn]
        mean = np.average(rows.target[learn], weights=counts)
        x = table[learn] - np.average(table[learn], axis=0, weights=counts)
        gram = x.T @ (x * counts[:, None]) + screen.PENALTY * np.eye(x.shape[1])
        slopes = np.linalg.solve(gram, x.T @ ((rows.target[learn] - mean) * counts))
        asked = usable & (rows.fold == fold)
        found[asked] = (table[asked] - np.average(table[learn], axis=0, weights=counts)) @ slopes + mean
    return found


def recalls(
    estimate: Floats, cost: Floats, rows: Rows, passes: Passes, kept: Bools | None = None
) -> dict[str, Any]:
    """Return recall by budget, line and kind: rows found, of so many, and a 95 % interval.

    Args:
        estimate: [n], NaN where not measured.
        cost: [n] of the estimate, as a share of the row's exact score.
        kept: rows that the estimate is made of; the others are passed by at no cost.
    """
    kept = np.ones(len(cost), bool) if kept is None else kept
    seen = np.isfinite(estimate)
    weight = np.where(seen, passes.weight, 0.0)
    weight /= weight.sum()
    score = np.where(kept, estimate, -np.inf)
    own = float((weight * cost)[kept & seen].sum())
    found: dict[str, Any] = {"cost": round(own, 3)}
    for budget in BUDGETS:
        if budget <= own:
            continue
        at = cut_at(score, weight, budget - own)
        caught = seen & (score >= at) & kept
        low = spread(score, weight, rows, seen, budget - own)
        by_line = {}
        for level, line in rows.lines.items():
            above = seen & (rows.risk >= line)
            groups = {
                "all": np.ones(len(seen), bool),
                "benign": rows.benign,
                **{str(k): rows.kind == k for k in np.unique(rows.kind[~rows.benign])},
            }
            found_of = {name: share(caught & above & one, above & one) for name, one in groups.items()}
            by_line[level] = {name: list(each.values()) for name, each in found_of.items()}
            hits, of, *wilson = by_line[level]["all"]  # the wider of the two intervals
            by_line[level]["all"] = [hits, of, min(wilson[0], low[level][0]), max(wilson[1], low[level][1])]
        found[f"{budget:g}"] = by_line
    return found


def cut_at(score: Floats, weight: Floats, budget: float) -> float:
    """Return the least score that so large a share of the benign tokens reaches at most."""
    order = np.argsort(-score, kind="stable")
    order = order[weight[order] > 0]
    over = np.cumsum(weight[order]) > budget
    return float(score[order[int(np.argmax(over))]]) + 1e-12 if over.any() else -np.inf


def spread(
    score: Floats, weight: Floats, rows: Rows, seen: Bools, budget: float, draws: int = 200
) -> dict[str, list[float]]:
    """Return 95 % intervals of recall by line over draws of the rows, benign and above the line alike."""
    chance = np.random.default_rng(0)
    some = np.flatnonzero(seen)
    found: dict[str, list[float]] = {level: [] for level in rows.lines}
    for _ in range(draws):
        times = np.bincount(chance.choice(some, len(some)), minlength=len(seen))
        drawn_weight = weight * times
        at = cut_at(score, drawn_weight / drawn_weight.sum(), budget)
        for level, line in rows.lines.items():
            above = times * (seen & (rows.risk >= line))
            found[level].append(float(above[score >= at].sum() / max(above.sum(), 1)))
    return {level: [round(float(q), 3) for q in np.quantile(v, (0.025, 0.975))] for level, v in found.items()}


def candidates(rows: Rows, passes: Passes) -> dict[str, tuple[Known, Floats, bool]]:
    """Return by name what is known of rows, what that costs, and whether it is an estimate as it stands."""
    columns, share_of, one = passes.columns, passes.seconds, np.ones(len(rows.risk))

    def risk(values: Floats, most: int) -> Floats:
        found = np.full(len(values), np.nan)
        for i in np.flatnonzero(np.isfinite(values[:, 0])):
            danger, safety, harm = values[i].tolist()
            tokens = min(len(rows.texts[i].ids), most)
            found[i] = rows.calibration.risk(Score("", danger, safety, danger - safety, tokens, harm=harm))
        return found

    def same(values: Floats) -> Known:
        return lambda learn: values

    lengths = np.array([len(row.ids) for row in rows.encoded], float)
    found: dict[str, tuple[Known, Floats, bool]] = {}
    both = share_of["danger"] + share_of["safety"]
    for at, most in enumerate((*CUTS, 0)):
        danger, safety = columns["danger"][:, at], columns["safety"][:, at]
        short = np.array([len(cut_after(row, most or len(row.ids)).ids) for row in rows.encoded])
        name = f"losses under two adapters{f', first {most} tokens' if most else ''}"
        found[f"{name}, difference"] = same(safety - danger), both * short / lengths, True
        found[name] = same(np.stack([danger, safety], 1)), both * short / lengths, False
    for most in CUTS:
        own = risk(columns[f"cut{most}"], most)
        found[f"risk of the first {most} tokens"] = same(own), share_of[f"cut{most}"] * one, True
        table = np.concatenate([columns[f"cut{most}"], own[:, None]], 1)
        found[f"first {most} tokens"] = same(table), share_of[f"cut{most}"] * one, False
    own = risk(columns["alone"], CUTS[-1])
    found["risk of 32 tokens without prompt"] = same(own), share_of["alone"] * one, True
    table = np.concatenate([columns["alone"], own[:, None]], 1)
    found["32 tokens without prompt"] = same(table), share_of["alone"] * one, False
    for k in TOP:
        found[f"top {k} blocks"] = same(columns["blocks"][:, -k:].sum(1)), share_of[f"top{k}"] * one, False
    for at, block in enumerate(STATES):
        cost = share_of["states"] * block / STATES[-1] * one
        state = columns["states"][:, at, 0]
        found[f"persona vector, block {block}"] = persona(state, rows, passes), cost, True
        # Of unit length: a few dimensions of states are far larger than all others.
        found[f"persona vector, unit states, block {block}"] = persona(unit(state), rows, passes), cost, True
        examples = [unit(passes.examples[role][:, at, 0]).mean(0) for role in ("danger", "safety")]
        larf = unit(state) @ (examples[0] - examples[1])
        found[f"LARF, block {block}"] = same(larf), cost, True
    return found


def persona(state: Floats, rows: Rows, passes: Passes) -> Known:
    """Return what projects states on the difference between the means of harmful and of benign rows."""

    def known(learn: Bools) -> Floats:
        means = [
            np.average(state[some], axis=0, weights=passes.stands[some])
            for some in (learn & ~rows.benign, learn & rows.benign)
        ]
        found: Floats = state @ unit(means[0] - means[1])
        return found

    return known


def unit(values: Floats) -> Floats:
    found: Floats = values / np.linalg.norm(values, axis=-1, keepdims=True)
    return found


def measured(rows: Rows, passes: Passes) -> dict[str, Any]:
    """Return recalls of all candidates: alone, with the estimate from tokens, and after it."""
    tokens, sources = Tokens(rows), [str(k) for k in np.unique(rows.kind[~rows.benign])]
    free = np.zeros(len(rows.risk))
    result: dict[str, Any] = {"seconds": {k: round(v, 3) for k, v in passes.seconds.items()}}
    result |= {"rows": int(passes.seen.sum()), "candidates": {}}
    first = {source: tokens.held_out(source) for source in ("", *sources)}

    def add(name: str, cost: Floats, estimates: dict[str, Floats], first_share: float = 1.0) -> None:
        found = {}
        for source, estimate in estimates.items():
            kept = None
            if first_share < 1:
                kept = first[source] >= cut_at(first[source], passes.weight, first_share)
            own = recalls(estimate, cost, rows, passes, kept)
            if not source:
                found = {"net": own, "unseen": {}}
                if kept is None:  # as a ranking, whatever it costs
                    ranked = recalls(estimate, free, rows, passes)
                    del ranked["cost"]
                    found["free"] = {
                        b: {level: {"all": each["all"]} for level, each in levels.items()}
                        for b, levels in ranked.items()
                    }
            else:
                found["unseen"][source] = {
                    budget: {level: each[level][source] for level in LINES}
                    for budget, each in own.items()
                    if budget != "cost"
                }
        result["candidates"][name] = found
        show(name, found)

    add("tokens", free, {s: np.where(passes.seen, e, np.nan) for s, e in first.items()})
    for name, (known, cost, raw) in candidates(rows, passes).items():
        if raw:
            estimates = {}
            for source in ("", *sources):
                own = np.full(len(rows.risk), np.nan)
                for fold in range(screen.FOLDS):
                    learn = passes.seen & (rows.fold != fold) & (rows.kind != source)
                    own[rows.fold == fold] = known(learn)[rows.fold == fold]
                estimates[source] = own
            add(name, cost, estimates)
            if not name.startswith(("persona", "LARF")):
                continue
        add(f"{name}, fitted", cost, {s: fitted(known, rows, passes, None, s) for s in ("", *sources)})
        stacked = {s: fitted(known, rows, passes, tokens, s) for s in ("", *sources)}
        add(f"{name}, and tokens", cost, stacked)
        for kept in (0.15, 0.3):
            add(f"{name}, of the {kept:.0%} highest by tokens", cost, stacked, kept)
    return result


def show(name: str, found: dict[str, Any]) -> None:
    """Print recalls at the warning line (all, benign, sources), at the error line, and of unseen sources."""
    print(f"{name}: cost {found['net']['cost']:g}")
    for kind in ("net", "free"):
        for budget, levels in found.get(kind, {}).items():
            if budget == "cost":
                continue
            own, unseen = levels["warning"], [each.get(budget) for each in found["unseen"].values()]
            texts = [f"{hits}/{of}" for hits, of, *_ in (*own.values(), levels["error"]["all"])]
            left = [f"{each['warning'][0]}/{each['warning'][1]}" for each in unseen if each and kind == "net"]
            print(f"  {kind} {budget}: {' '.join(texts)} {own['all'][2:]}; {' '.join(left)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--passes", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", type=Path, help="add to what `screen.py` wrote there, as `passes`")
    args = parser.parse_args()
    rows = Rows(args.data)
    if args.write:
        write(rows, args.data, args.passes)
        return
    found = measured(rows, Passes(rows, args.passes))
    if args.json:
        add_to(args.json, "passes", found)


if __name__ == "__main__":
    main()
