"""Runs side by side take the steps that each would take alone, and those that PEFT would take."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sqsd_lint.experiments.runs import Dose
from sqsd_lint.experiments.updates import LoraRuns
from tests import tiny
from tests.scoring.cases import random_rows

DOSE = Dose(steps=4, lr=5e-3, batch_size=3)


def trained(seeds: list[int], data: list[int], tokens: int = 100_000) -> list[dict[str, torch.Tensor]]:
    model = tiny.make_model("llama")
    model.requires_grad_(False)
    runs = LoraRuns(model, seeds, tokens=tokens)
    with runs.adapted():
        list(runs.train([random_rows(7, seed=d) for d in data], DOSE))
    return [runs.displacement(k) for k in range(len(seeds))]


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    scale = max(v.abs().max() for v in expected.values())
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=2e-3 * scale.item())


@pytest.mark.parametrize("tokens", [100_000, 100])
def test_a_run_is_not_moved_by_its_neighbours(tokens: int) -> None:
    together = trained([0, 5, 9], [1, 2, 3], tokens)
    assert_same(together[1], trained([5], [2])[0])
    assert_same(together[2], trained([9], [3])[0])


def test_other_rows_and_other_seeds_end_elsewhere() -> None:
    one, other_rows, other_seed = trained([0, 0, 1], [1, 2, 1])
    name = next(iter(one))
    assert (one[name] - other_rows[name]).abs().max() > 1e-4
    assert (one[name] - other_seed[name]).abs().max() > 1e-4


def test_steps_are_those_of_peft(tmp_path: Path) -> None:
    """The same start, rows and settings through PEFT, AdamW and autograd."""
    from peft import LoraConfig, get_peft_model

    rows = random_rows(6, seed=8)
    base = tiny.make_model("llama")
    runs = LoraRuns(base.requires_grad_(False), [3], tokens=100_000)
    start = {name: A[0].detach().clone() for name, A in runs.starts().items()}
    with runs.adapted():
        list(runs.train([rows], DOSE))
    peft = get_peft_model(
        tiny.make_model("llama"), LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")
    )
    for name, A in start.items():
        peft.get_submodule(f"base_model.model.{name}").lora_A["default"].weight.data.copy_(A)
    parameters = [p for p in peft.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=DOSE.lr, weight_decay=0.0)
    order = runs.order(len(rows), DOSE, 3)
    for step in range(DOSE.steps):
        loss = torch.zeros(())
        for i in order[step * 3 : step * 3 + 3]:
            logits = peft(input_ids=torch.tensor([rows[i].ids])).logits[0, :-1]
            loss = loss + torch.nn.functional.cross_entropy(logits, torch.tensor(rows[i].labels[1:])) / 3
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = DOSE.learning_rate(step)
        optimizer.step()
        optimizer.zero_grad()
    expected = {}
    for name in start:
        layer = peft.get_submodule(f"base_model.model.{name}")
        expected[name] = (2 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight).detach()
    assert_same(runs.displacement(0), expected)


def test_the_model_is_as_it_was_afterwards() -> None:
    model = tiny.make_model("llama")
    ids = torch.tensor([random_rows(1)[0].ids])
    before = model(input_ids=ids).logits
    runs = LoraRuns(model.requires_grad_(False), [0], tokens=1000)
    with runs.adapted():
        list(runs.train([random_rows(4)], DOSE))
        assert not torch.allclose(model(input_ids=ids).logits, before)
    assert torch.equal(model(input_ids=ids).logits, before)
