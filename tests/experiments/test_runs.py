"""The loss that runs are trained with is the model's own, whatever it does to its logits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.experiments.updates import FullRun
from sqsd_lint.types import Encoded
from tests import tiny
from tests.scoring.cases import random_rows


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
def test_losses_are_those_of_the_model(kind: str) -> None:
    model, rows = tiny.make_model(kind).requires_grad_(False), random_rows(5, seed=4)
    found = FullRun(model, 0, tokens=10_000).losses(rows)
    for row, loss in zip(rows, found, strict=True):
        logits = model(input_ids=torch.tensor([row.ids])).logits[0, :-1]
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor(row.labels[1:]))
        torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)


@given(
    batches=st.integers(1, 6).flatmap(
        lambda size: st.lists(
            st.lists(st.integers(2, 60), min_size=size, max_size=size), min_size=1, max_size=5
        )
    ),
    tokens=st.integers(20, 500),
)
def test_every_row_of_a_step_passes_once_with_its_run(batches: list[list[int]], tokens: int) -> None:
    runs = FullRun(tiny.make_model("llama"), 0, tokens=tokens)
    rows = [
        [Encoded((run,) * length, (-100,) * length) for length in batch] for run, batch in enumerate(batches)
    ]
    seen: list[list[int]] = [[] for _ in batches]
    for part, chosen in runs._passes(rows):
        each = len(chosen) // (part.stop - part.start)
        for number, row in enumerate(chosen):
            run = part.start + number // each
            assert row.ids[0] == run  # the adapters of its own run are those that it meets
            seen[run].append(len(row.ids))
        longest = max(len(row.ids) for row in chosen)
        assert len(chosen) * longest <= tokens or len(chosen) == 1
    assert [sorted(run) for run in seen] == [sorted(batch) for batch in batches]
