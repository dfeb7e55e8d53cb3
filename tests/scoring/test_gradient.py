"""Gradients as directions: a row's projection is its first-order effect on the likelihood of the answers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.scoring import Direction, Scorer
from sqsd_lint.scoring.layers.lora import Gradient
from sqsd_lint.types import Encoded, Metric
from tests import oracle, tiny
from tests.scoring.cases import Case, random_rows
from tests.scoring.conftest import CaseFn

ROWS = random_rows(3, seed=5)
ANSWERS = random_rows(4, seed=6)


def ascent(case: Case) -> Gradient:
    return Scorer(case.model, [case.direction("danger", "initial")]).gradient(ANSWERS)


def project(case: Case, gradient: Gradient, metric: str) -> torch.Tensor:
    at = case.direction("danger", "initial").expansion
    return Scorer(case.model, [Direction("danger", gradient, at)], metric=metric).project(ROWS).values[:, 0]


def factor_gradients(case: Case, rows: Sequence[Encoded]) -> list[torch.Tensor]:
    """d(mean loss of rows) / d(A, B) of every layer, by PEFT and autograd in float64."""
    exact = partial(tiny.make_model, case.arch, dtype=torch.float64, attention="eager")
    model = oracle.load_peft(exact, case.folders["initial"])
    torch.stack([oracle.response_loss(model, row.ids, row.labels) for row in rows]).mean().backward()
    return [factor.grad for _, layer in oracle.lora_layers(model) for factor in oracle.factors(layer)]


def real_gain(case: Case, index: int) -> float:
    """What an SGD step of size 1 on a row adds to the answers' mean log-likelihood, to first order."""
    pairs = zip(factor_gradients(case, ROWS[index : index + 1]), factor_gradients(case, ANSWERS), strict=True)
    return sum((row * answers).sum().item() for row, answers in pairs)


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_a_projection_is_the_gain_in_likelihood(case: CaseFn, arch: str) -> None:
    one = case(arch)
    found = project(one, ascent(one), "dot")
    for i in range(len(ROWS)):
        assert found[i].item() == pytest.approx(real_gain(one, i), rel=1e-4)


def test_cosine_is_bounded_by_the_number_of_layers_and_full_for_the_rows_own_gradient(case: CaseFn) -> None:
    one = case("llama")
    own = Scorer(one.model, [one.direction("danger", "initial")]).gradient(ROWS[:1])
    found = project(one, own, "cosine")
    layers = len(own.factors)
    assert found[0].item() == pytest.approx(layers, rel=1e-4)
    assert found.abs().max() <= layers * (1 + 1e-5)


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_drift_is_the_gain_in_likelihood_by_any_metric(case: CaseFn, metric: Metric) -> None:
    one = case("llama")
    at = one.direction("danger", "initial").expansion
    found = Scorer(one.model, [Direction("danger", ascent(one), at)], metric=metric).project(ROWS).drift
    for i in range(len(ROWS)):
        assert found[i, 0].item() == pytest.approx(real_gain(one, i), rel=1e-4)


def test_it_survives_the_disk_as_an_adapter(case: CaseFn, tmp_path: Path) -> None:
    one = case("llama")
    gradient = ascent(one)
    shutil.copy(one.folders["initial"] / "adapter_config.json", tmp_path)
    save_file(gradient.tensors(torch.float32), tmp_path / "adapter_model.safetensors")
    back = Gradient.of_adapter(load_adapter(tmp_path, one.model))
    torch.testing.assert_close(project(one, back, "cosine"), project(one, gradient, "cosine"))
