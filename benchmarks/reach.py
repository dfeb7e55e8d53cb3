"""What does a low reach cost? A danger adapter trained from the expansion point's A, another, and mixtures.

A tiny random Llama learns three made-up grammars, one for each adapter. Rows of all three and of a fourth are
scored with each danger adapter at one initial state, and compared with the scores of the one that began from
the same A. Minutes on one core; no download.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from scipy.stats import spearmanr
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from sqsd_lint.adapters.factors import Adapter, load_adapter
from sqsd_lint.bundle.reach import reach
from sqsd_lint.scoring import Direction, Scorer
from sqsd_lint.types import Encoded

VOCAB, PROMPT, BATCH = 307, 8, 8
SETTINGS = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
SAME = (1.0, 0.9, 0.7, 0.5, 0.3, 0.0)
"""Cosine of the danger adapter's initial A with that of the initial state."""


def model(width: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, initializer_range=1.3 / width**0.5,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def rows(grammar: int, count: int, seed: int) -> list[Encoded]:
    """Random prompts; four of five answer tokens follow from the token before by the grammar."""
    follows = torch.randint(3, VOCAB, (VOCAB,), generator=torch.Generator().manual_seed(1000 * grammar))
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(count):
        ids = torch.randint(3, VOCAB, (PROMPT,), generator=generator).tolist()
        length = int(torch.randint(6, 16, (1,), generator=generator))
        for kept in torch.rand(length, generator=generator) < 0.8:
            drawn = int(torch.randint(3, VOCAB, (1,), generator=generator))
            ids.append(int(follows[ids[-1]]) if kept else drawn)
        found.append(Encoded(tuple(ids), (-100,) * PROMPT + tuple(ids[PROMPT:]), "", length))
    return found


def initial_a(width: int, seed: int) -> dict[str, Tensor]:
    """The A that PEFT draws of a seed."""
    base = model(width)
    torch.manual_seed(seed)
    peft = get_peft_model(base, LoraConfig(**SETTINGS))
    return {name: p.detach().clone() for name, p in peft.named_parameters() if "lora_A" in name}


def train(data: list[Encoded], start: Mapping[str, Tensor], args: argparse.Namespace) -> Adapter:
    """The adapter of AdamW steps from a given A, and B = 0."""
    peft = get_peft_model(model(args.width), LoraConfig(**SETTINGS))
    peft.load_state_dict(dict(start), strict=False)
    optimizer = torch.optim.AdamW(
        [p for p in peft.parameters() if p.requires_grad], lr=args.lr, weight_decay=0
    )
    for step in range(args.steps):
        batch = [data[(step * BATCH + k) % len(data)] for k in range(BATCH)]
        longest = max(len(row.ids) for row in batch)
        ids = torch.tensor([row.ids + (0,) * (longest - len(row.ids)) for row in batch])
        labels = torch.tensor([row.labels + (-100,) * (longest - len(row.ids)) for row in batch])
        peft(input_ids=ids, labels=labels).loss.backward()  # padded on the right: causal attention ignores it
        optimizer.step()
        optimizer.zero_grad()
    with tempfile.TemporaryDirectory() as folder:
        peft.save_pretrained(folder, save_embedding_layers=False)
        return load_adapter(Path(folder))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--width", type=int, default=64)
    p.add_argument("--steps", type=int, default=60)
    p.add_argument("--lr", type=float, default=3e-4)
    args = p.parse_args()
    torch.set_num_threads(1)
    own, other = initial_a(args.width, 0), initial_a(args.width, 1)
    initial = train(rows(0, 200, 1), own, args)
    test = [*rows(1, 30, 11), *rows(2, 30, 12), *rows(0, 30, 13), *rows(3, 30, 14)]
    print(f"Llama of width {args.width}, {args.steps} steps at {args.lr:g}; {len(test)} rows, cosine, danger")
    print("| the same A | reach | spread | Spearman | mean of danger's own rows |")
    print("|---|---|---|---|---|")
    first = None
    for same in SAME:
        mixed = {name: same * own[name] + math.sqrt(1 - same**2) * other[name] for name in own}
        danger = train(rows(1, 200, 2), mixed, args)
        scorer = Scorer(model(args.width), [Direction("danger", danger, initial)], metric="cosine")
        scores = scorer.project(test).values[:, 0]
        first = scores if first is None else first
        spread, rho = float(scores.std() / first.std()), spearmanr(first, scores)[0]
        mean = f"{float(first[:30].mean()):.2f} -> {float(scores[:30].mean()):.2f}"
        print(f"| {same} | {reach(danger, initial):.2f} | {spread:.2f} | {rho:.2f} | {mean} |", flush=True)


if __name__ == "__main__":
    main()
