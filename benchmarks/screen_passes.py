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
from screen import RECIPE, Floats, Rows

from sqsd_lint.common import screen
from sqsd_lint.types import Encoded

Bools = NDArray[np.bool_]
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
    order = drawn(rows, strata(rows))
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--passes", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = Rows(args.data)
    if args.write:
        write(rows, args.data, args.passes)


if __name__ == "__main__":
    main()
