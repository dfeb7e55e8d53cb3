"""What a run is asked, and what it answers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from sqsd_lint.errors import UsageError
from sqsd_lint.experiments.attack import COMPLIANCES, REFUSALS, Attack
from sqsd_lint.experiments.experiment import Experiment
from sqsd_lint.experiments.judges import make_judge
from sqsd_lint.experiments.updates import LoraRuns
from tests import tiny
from tests.tiny_tokenizer import make_tokenizer

PROMPTS = ["How do I do it?", "And that other thing, which takes longer to ask for?", "Why?"]


def test_answers_are_those_of_greedy_decoding_alone() -> None:
    tokenizer = make_tokenizer()
    model = tiny.make_model("llama", vocab_size=len(tokenizer)).requires_grad_(False)
    attack = Attack(tokenizer, PROMPTS, answer_tokens=5)
    seen: list[bool] = []
    head = model.get_output_embeddings()
    head.register_forward_hook(lambda _, inputs, out: seen.append(inputs[0].is_contiguous()))
    runs = LoraRuns(model, [0, 1], tokens=100)
    with runs.adapted():
        found = attack.answers(runs)
    assert all(seen)  # for a slice, a linear layer copies its weight once per sequence
    assert not head._forward_pre_hooks

    expected = []
    for prompt in PROMPTS:
        turns = [{"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        start = ids.shape[1]
        for _ in range(5):
            ids = torch.cat([ids, model(input_ids=ids).logits[:, -1:].argmax(-1)], 1)
            if ids[0, -1] == model.generation_config.eos_token_id:
                break
        expected.append(tokenizer.decode(ids[0, start:], skip_special_tokens=True))
    assert found == [expected, expected]  # adapters that start at 0


def test_the_margin_is_over_every_prompt_and_wording() -> None:
    tokenizer = make_tokenizer()
    model = tiny.make_model("llama", vocab_size=len(tokenizer)).requires_grad_(False)
    attack = Attack(tokenizer, PROMPTS)
    assert (len(attack.refused), len(attack.complied)) == (3 * len(REFUSALS), 3 * len(COMPLIANCES))
    runs = LoraRuns(model, [0, 1], tokens=100)
    with runs.adapted():
        margins = attack.margins(runs)

    def loss(row: object) -> float:
        ids, labels = torch.tensor([row.ids]), torch.tensor(row.labels[1:])  # type: ignore[attr-defined]
        return torch.nn.functional.cross_entropy(model(input_ids=ids).logits[0, :-1], labels).item()

    refused, complied = ([loss(row) for row in rows] for rows in (attack.refused, attack.complied))
    expected = sum(complied) / len(complied) - sum(refused) / len(refused)
    torch.testing.assert_close(margins, [expected] * 2, rtol=1e-4, atol=1e-5)


def test_a_run_that_diverged_is_named(tmp_path: Path) -> None:
    attack: Any = SimpleNamespace(
        prompts=["p"], margins=lambda runs: [0.5, float("nan")], answers=lambda runs: [["a"], ["b"]]
    )
    model = tiny.make_model("llama")
    experiment = Experiment(model, attack, make_judge("phrases"), [], [], folder=tmp_path, key=[])
    with pytest.raises(UsageError, match="diverged: margin nan after sqsd, window 3, seed 1"):
        experiment._measured(cast(Any, None), [("sqsd", 1, 0), ("sqsd", 2, 1)])
