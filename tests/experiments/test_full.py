"""Full fine-tuning takes the steps of a plain loop over all parameters, and leaves the model as it was."""

from __future__ import annotations

import pytest
import torch

from sqsd_lint.experiments.runs import Dose
from sqsd_lint.experiments.updates import FullRun
from tests import tiny
from tests.scoring.cases import random_rows

DOSE = Dose(steps=4, lr=1e-3, batch_size=3)
KINDS = ("llama", "gpt2")  # gpt2 has Conv1D layers and ties its head


@pytest.mark.parametrize("tokens", [100_000, 30])  # a pass for the batch, and one for each row
@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_those_of_a_plain_loop(kind: str, tokens: int) -> None:
    rows = random_rows(6, seed=8)
    model = tiny.make_model(kind).requires_grad_(False)
    run = FullRun(model, 3, tokens=tokens)
    with run.adapted():
        list(run.train([rows], DOSE))
        found = run.displacement(0)
        moved = {name: p.detach().clone() for name, p in model.named_parameters()}

    plain = tiny.make_model(kind)
    parameters = list(plain.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=DOSE.lr, weight_decay=0.0)
    order = run.order(len(rows), DOSE, 3)
    for step in range(DOSE.steps):
        loss = torch.zeros(())
        for i in order[step * 3 : step * 3 + 3]:
            logits = plain(input_ids=torch.tensor([rows[i].ids])).logits[0, :-1]
            loss = loss + torch.nn.functional.cross_entropy(logits, torch.tensor(rows[i].labels[1:])) / 3
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = DOSE.learning_rate(step)
        optimizer.step()
        optimizer.zero_grad()

    start = dict(tiny.make_model(kind).named_parameters())
    differ = total = 0
    for name, expected in plain.named_parameters():
        differ += int(((moved[name] - expected).abs() > 1e-5).sum())
        total += expected.numel()
    # AdamW's first steps are signs of gradients: where one is 0, as for keys' biases, rounding decides.
    assert differ < 0.01 * total
    for name, delta in found.items():
        weight, before = moved[f"{name}.weight"], start[f"{name}.weight"].detach()
        expected = weight - before
        torch.testing.assert_close(delta, expected if kind == "llama" else expected.T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_model_is_left_as_it_was(dtype: torch.dtype) -> None:
    model = tiny.make_model("llama").to(dtype).requires_grad_(False)
    before = {name: p.clone() for name, p in model.named_parameters()}
    run = FullRun(model, 0, tokens=100_000)
    with run.adapted():
        next(iter(run.train([random_rows(4, seed=1)], DOSE)))
        assert any((p != before[name]).any() for name, p in model.named_parameters())
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name])
        assert p.grad is None
        assert not p.requires_grad
