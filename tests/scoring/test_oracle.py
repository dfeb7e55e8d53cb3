"""The reference itself, held against what docs/method.md section 3 says that it is: a small step of SGD."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import oracle, tiny

# GPT-2, because nothing in it casts to float32: differences stay exact to float64.
ARCH = "gpt2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_adapter(tmp_path_factory.mktemp("oracle") / "adapter", arch=ARCH, alpha=4.5)


def base() -> Any:
    return tiny.make_model(ARCH, dtype=torch.float64, attention="eager")


def test_update_is_the_displacement_of_b_a_after_a_small_sgd_step(folder: Path) -> None:
    ids, labels = tiny.random_sample(0)
    update, _ = oracle.sample_update(base, folder, ids, labels)

    before = oracle.load_peft(base, folder)
    after = copy.deepcopy(before)
    trained = [p for _, layer in oracle.lora_layers(after) for p in oracle.factors(layer)]
    step = 1e-6
    optimizer = torch.optim.SGD(trained, lr=step)
    oracle.response_loss(after, ids, labels).backward()
    optimizer.step()

    moved = dict(oracle.lora_layers(after))
    for name, layer in oracle.lora_layers(before):
        (a0, b0), (a1, b1) = oracle.factors(layer), oracle.factors(moved[name])
        torch.testing.assert_close((b1 @ a1 - b0 @ a0) / step, update[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scaling", [None, 0.8])
def test_dot_is_the_loss_falling_along_the_direction(folder: Path, scaling: float | None) -> None:
    """<dW, V> = -d/de l, where the step e changes B A by (V A0^T) A0 + B0 (B0^T V): Frobenius adjoints."""
    ids, labels = tiny.random_sample(1)
    name = "transformer.h.1.attn.c_attn"
    update, _ = oracle.sample_update(base, folder, ids, labels, scaling)
    vector = torch.randn(update[name].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def loss_at(step: float) -> float:
        model = oracle.load_peft(base, folder, scaling)
        a, b = oracle.factors(dict(oracle.lora_layers(model))[name])
        with torch.no_grad():
            to_b, to_a = vector @ a.T, b.T @ vector
            b += step * to_b
            a += step * to_a
            return oracle.response_loss(model, ids, labels).item()

    step = 1e-5
    slope = (loss_at(step) - loss_at(-step)) / (2 * step)
    assert (update[name] * vector).sum().item() == pytest.approx(-slope, rel=1e-6)


def test_metrics_of_a_term() -> None:
    term = oracle.Term(dot=6.0, norm_update=2.0, norm_vector=4.0)
    assert [term.value(metric) for metric in ("cosine", "projection", "dot")] == [0.75, 1.5, 6.0]
    assert oracle.Term(dot=0.0, norm_update=0.0, norm_vector=4.0).value("cosine") == 0.0


def test_sqsd_is_danger_at_initial_less_safety_at_itself(folder: Path, tmp_path: Path) -> None:
    ids, labels = tiny.random_sample(2)
    danger = tiny.save_adapter(tmp_path / "danger", arch=ARCH, seed=5)
    safety = tiny.save_adapter(tmp_path / "safety", arch=ARCH, seed=6)
    project = partial(oracle.oracle_projection, base, ids=ids, labels=labels, metric="cosine")
    expected = project(folder, danger) - project(safety, safety, scaling=0.8)
    value = oracle.oracle_sqsd(base, danger, safety, folder, ids, labels, safety_scaling=0.8)
    assert value == pytest.approx(expected, rel=1e-12)
    shared = oracle.oracle_sqsd(base, danger, safety, folder, ids, labels, expansion="shared")
    assert shared == pytest.approx(project(folder, danger) - project(folder, safety), rel=1e-12)


@pytest.mark.parametrize("arch", ["gemma3", "mistral", "gemma2"])
def test_sliding_windows_matter_in_the_tiny_models(arch: str) -> None:
    """Otherwise the comparison of these architectures would not test their masks."""
    narrow, wide = tiny.make_model(arch), tiny.make_model(arch, sliding_window=200)
    ids, labels = tiny.random_sample(3, prompt=20, response=8)
    losses = [oracle.response_loss(model, ids, labels).item() for model in (narrow, wide)]
    assert abs(losses[0] - losses[1]) > 1e-2
