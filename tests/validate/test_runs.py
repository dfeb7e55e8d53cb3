"""The loss that runs are trained with is the model's own, whatever it does to its logits."""

from __future__ import annotations

import pytest
import torch

from sqsd_lint.validate.full import FullRun
from tests import tiny
from tests.score.cases import random_rows


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
def test_losses_are_those_of_the_model(kind: str) -> None:
    model, rows = tiny.make_model(kind).requires_grad_(False), random_rows(5, seed=4)
    found = FullRun(model, 0, tokens=10_000).losses(rows)
    for row, loss in zip(rows, found, strict=True):
        logits = model(input_ids=torch.tensor([row.ids])).logits[0, :-1]
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor(row.labels[1:]))
        torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)
