"""Do scores carry over: from LoRA to full fine-tuning, from one base model to another?

    python benchmarks/transfer.py full -o build/full     whole-model directions out of the default recipe
    python benchmarks/transfer.py agree A.jsonl B.jsonl  how two bundles rank the same rows

`full` fine-tunes every parameter of the aligned base on the recipe's danger and safety rows and saves three
models in float32, for `sqsd-lint bundle import --base-model OUT/base --danger-model OUT/danger
--safety-model OUT/safety`. `agree` reads what `sqsd-lint score` wrote with each bundle. Windows that one
bundle's scores cut are trained with the other's model by `sqsd-lint validate --ranking NAME=SCORES`, and by
full fine-tuning with `--update full`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import common
import torch

from sqsd_lint.bundle.agreement import measure, read_scores
from sqsd_lint.encode import Encoder
from sqsd_lint.experiments.runs import Dose
from sqsd_lint.experiments.updates import FullRun
from sqsd_lint.training.data import training_sets

RECIPE = common.ROOT / "examples" / "recipes" / "smollm2-135m-default.json"
MAX_LENGTH = 192


def full(args: argparse.Namespace) -> None:
    args.dtype, args.device, args.max_length = "auto", "auto", MAX_LENGTH
    model, tokenizer = common.engine(args).base()
    model.requires_grad_(False)
    save(model, tokenizer, args.output / "base", {})
    encoder = Encoder(tokenizer, max_length=MAX_LENGTH)
    dose = Dose(args.steps, args.lr)
    for name, sets in training_sets(RECIPE, args.data).items():
        rows = [encoder.encode(sample) for samples in sets.values() for sample in samples]
        run, begun = FullRun(model, 0, tokens=4096), time.perf_counter()
        with run.adapted():
            for step in run.train([rows], dose):
                print(f"\r{name}: step {step + 1} of {args.steps}, {len(rows)} rows", end="", flush=True)
            save(model, tokenizer, args.output / name, run.weights())
        print(f", {time.perf_counter() - begun:.0f} s")


def save(model: Any, tokenizer: Any, folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """The model in float32, with the masters of a run in place of what bfloat16 made of them."""
    # A tied head is no parameter of its own, and is tied again where the model is loaded.
    state = {name: weights.get(name, p.detach()).float() for name, p in model.named_parameters()}
    model.save_pretrained(folder, state_dict=state)
    tokenizer.save_pretrained(folder)


def agree(args: argparse.Namespace) -> None:
    one, other = (read_scores(path) for path in args.scores)
    rows = sorted(one.keys() & other.keys())
    found = measure([(one[row], other[row]) for row in rows], target=args.scores[0].stem)
    print(
        f"{found.rows} rows: Spearman {found.spearman:+.2f} ({found.low:+.2f} to {found.high:+.2f}), ", end=""
    )
    print(f"{found.top_decile:.0%} of the top tenth in common (10% by chance)")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(required=True)
    f = commands.add_parser("full")
    f.add_argument("-o", "--output", type=Path, required=True)
    f.add_argument("--bundle", default=None, help="whose base is trained: the default bundle unless named")
    f.add_argument("--data", type=Path, default=common.DATA)
    f.add_argument("--steps", type=int, default=60)
    f.add_argument("--lr", type=float, default=2e-5)
    f.set_defaults(run=full)
    a = commands.add_parser("agree")
    a.add_argument("scores", type=Path, nargs=2)
    a.set_defaults(run=agree)
    args = p.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
