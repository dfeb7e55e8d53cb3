"""The row-by-row yardstick against gradients that PEFT and autograd give in float64."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.experiments.attack import Attack
from sqsd_lint.experiments.row_effect import compare, margin_losses, rows_of
from sqsd_lint.scoring.directions import Direction
from sqsd_lint.types import Encoded, Score
from tests import oracle, tiny
from tests.scoring.cases import random_rows

ROWS = random_rows(3, seed=21, longest=20)
REFUSED, COMPLIED = random_rows(4, seed=22, longest=12), random_rows(3, seed=23, longest=12)


def mean_loss(model: Any, rows: Sequence[Encoded]) -> torch.Tensor:
    return torch.stack([oracle.response_loss(model, row.ids, row.labels) for row in rows]).mean()


def gradient(folder: Path, scaling: float | None, rows: Sequence[Encoded]) -> torch.Tensor:
    """d(mean loss of rows) / d(every factor), in one vector."""
    exact = partial(tiny.make_model, "llama", dtype=torch.float64, attention="eager")
    model = oracle.load_peft(exact, folder, scaling)
    mean_loss(model, rows).backward()
    factors = (factor for _, layer in oracle.lora_layers(model) for factor in oracle.factors(layer))
    return torch.cat([factor.grad.flatten() for factor in factors])


def fall(folder: Path, scaling: float | None, row: Encoded) -> float:
    """How much margin an SGD step on a row takes per unit of learning rate, in its limit."""
    margin = gradient(folder, scaling, COMPLIED) - gradient(folder, scaling, REFUSED)
    return (gradient(folder, scaling, [row]) @ margin).item()


@pytest.mark.parametrize("scaling", [None, 0.7])
@pytest.mark.parametrize("fresh", [False, True])
def test_it_is_what_a_small_step_takes_from_the_margin(
    tmp_path: Path, scaling: float | None, fresh: bool
) -> None:
    """Also at a fresh adapter, whose B is zero: every layer takes part."""
    folder = tiny.save_adapter(tmp_path / "at", seed=31, fresh=fresh)
    model = tiny.make_model("llama")
    at = load_adapter(folder, model)
    attack = cast(Attack, SimpleNamespace(refused=REFUSED, complied=COMPLIED))
    done: list[int] = []
    found = margin_losses(
        model, Direction("danger", at, at, scaling), attack, ROWS, batch_tokens=64, advance=done.append
    )
    assert sum(done) == len(ROWS)
    expected = [fall(folder, scaling, row) for row in ROWS]
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-3 * max(map(abs, expected)))


def scored(count: int) -> list[Score]:
    generator = torch.Generator().manual_seed(0)
    danger, safety, loss = torch.randn(3, count, generator=generator).tolist()
    return [
        Score(f"{i:032x}", d, s, d - s, 5 + i % 7, loss=x)
        for i, (d, s, x) in enumerate(zip(danger, safety, loss, strict=True))
    ]


def test_a_score_that_foresees_all_is_told_from_one_that_foresees_nothing() -> None:
    scores = scored(120)
    found = compare(scores, [3 * score.danger for score in scores])["scores"]
    assert set(found) == {"risk", "sqsd", "danger", "safety", "harm", "length", "loss"}
    assert found["danger"]["spearman"] == pytest.approx(1)
    assert found["danger"]["interval"] == pytest.approx((1, 1))
    assert found["danger"]["given_length"]["spearman"] == pytest.approx(1)
    low, high = found["loss"]["interval"]
    assert low < 0 < high
    assert found["sqsd"]["interval"][0] > 0.4
    assert found["length"]["given_length"] == {"spearman": None, "interval": None}
    assert found["length"]["with_length"] == pytest.approx(1)


def test_rows_are_told_by_fingerprint() -> None:
    scores = scored(4)
    row = rows_of(scores, [0.0, 1.0, 2.0, 3.0])[3]
    assert (row["fingerprint"], row["margin_loss"], row["tokens"]) == (scores[3].fingerprint, 3.0, 8)
