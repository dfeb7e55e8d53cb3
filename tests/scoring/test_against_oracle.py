"""The fast scorer in float32 against the float64 oracle: every architecture, metric and shape of adapter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from sqsd_lint.adapters.factors import Adapter, LoraFactors
from sqsd_lint.scoring import Direction, Scorer
from sqsd_lint.types import Encoded
from tests import oracle, tiny
from tests.scoring.cases import METRICS, Case, encoded, random_rows, tolerance, two_turns
from tests.scoring.conftest import CaseFn

ROWS = [*random_rows(4), two_turns(), encoded(*tiny.random_sample(5, prompt=24, response=1))]


def assert_agrees(
    case: Case,
    rows: Sequence[Encoded],
    pairs: Sequence[tuple[str, str, float | None]],
    metrics: Sequence[str] = METRICS,
    **options: Any,
) -> None:
    """Every value of every (vector, expansion, scaling) in `pairs` is the oracle's."""
    directions = [case.direction(*pair) for pair in pairs]
    for metric in metrics:
        values = case.project(rows, directions, metric=metric, **options)
        assert values.shape == (len(rows), len(pairs))
        assert values.dtype == torch.float64
        for i, row in enumerate(rows):
            for j, pair in enumerate(pairs):
                expected = case.oracle(row, *pair)
                assert values[i, j].item() == pytest.approx(
                    expected.value(metric), rel=0, abs=tolerance(expected, metric)
                ), f"{case.arch}, {metric}, row {i}, direction {pair}"


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("arch", tiny.ARCHITECTURES)
def test_every_architecture_and_metric(case: CaseFn, arch: str, metric: str) -> None:
    """Danger at the initial state with its own scaling; safety at itself with the override."""
    assert_agrees(case(arch), ROWS, [("danger", "initial", None), ("safety", "safety", 1.0)], [metric])


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_shared_expansion_point(case: CaseFn, arch: str) -> None:
    one = case(arch)
    initial = one.direction("danger", "initial")
    both = [initial, Direction("safety", one.direction("safety", "safety").vector, initial.expansion)]
    for metric in METRICS:
        values = one.project(ROWS, both, metric=metric)
        for i, row in enumerate(ROWS):
            for j, vector in enumerate(("danger", "safety")):
                expected = one.oracle(row, vector, "initial")
                assert values[i, j].item() == pytest.approx(
                    expected.value(metric), rel=0, abs=tolerance(expected, metric)
                )


def test_scaling_override_changes_the_score_as_the_oracle_says(case: CaseFn) -> None:
    pairs = [("safety", "safety", scaling) for scaling in (None, 0.8, 1.0, 3.0)]
    assert_agrees(case("llama"), ROWS[:3], pairs)
    values = case("llama").project(ROWS[:3], [case("llama").direction(*pair) for pair in pairs])
    assert (values[:, :1] - values[:, 1:]).abs().min() > 1e-3


def test_sqsd_is_the_difference_of_the_two(case: CaseFn) -> None:
    one = case("qwen3")
    values = one.project(ROWS, [one.direction("danger", "initial"), one.direction("safety", "safety", 1.0)])
    for row, (danger, safety) in zip(ROWS, values.tolist(), strict=True):
        terms = one.oracle(row, "danger", "initial"), one.oracle(row, "safety", "safety", 1.0)
        expected = terms[0].value("cosine") - terms[1].value("cosine")
        assert danger - safety == pytest.approx(
            expected, rel=0, abs=sum(tolerance(t, "cosine") for t in terms)
        )


@pytest.mark.parametrize("arch", ["llama", "qwen3", "mistral"])
@pytest.mark.parametrize("padding", [0, 30])
def test_a_gradient_that_is_zero_but_for_rounding_adds_zero(case: CaseFn, arch: str, padding: int) -> None:
    """Attention over a single key is constant, so q_proj and k_proj get no update; the cosine of the rounding
    error that float32 leaves there instead would be any number in [-1, 1]."""
    row = encoded(*tiny.random_sample(11, prompt=1, response=1))
    others = [encoded(*tiny.random_sample(12, prompt=padding, response=1))] if padding else []
    one = case(arch)
    expected = one.oracle(row, "danger", "initial")
    assert expected.terms["model.layers.0.self_attn.q_proj"].norm_update == 0
    value = one.project([row, *others], [one.direction("danger", "initial")], batch_tokens=10_000)[0].item()
    assert value == pytest.approx(expected.value("cosine"), rel=0, abs=tolerance(expected, "cosine"))


ADAPTERS: dict[str, dict[str, dict[str, Any]]] = {
    "subset_of_vector": {"danger": {"targets": ["q_proj", "down_proj"]}},
    "subset_of_expansion": {"initial": {"targets": ["v_proj", "gate_proj"]}},
    "different_subsets": {
        "danger": {"targets": ["q_proj", "up_proj"]},
        "initial": {"targets": ["q_proj", "o_proj"]},
    },
    "one_layer": {
        "danger": {"targets": ["q_proj", "k_proj", "v_proj"], "layers_to_transform": [1]},
        "initial": {"targets": ["v_proj"]},
    },
    "rank_pattern": {
        "danger": {"rank_pattern": {"q_proj": 1, "down_proj": 5}},
        "initial": {"rank_pattern": {"o_proj": 6}},
    },
    "alpha_pattern": {
        "initial": {"alpha_pattern": {"v_proj": 1, "up_proj": 12}, "rank_pattern": {"v_proj": 2}}
    },
    "rslora": {
        "danger": {"use_rslora": True},
        "initial": {"use_rslora": True, "rank_pattern": {"k_proj": 5}},
    },
    "zero_layer_in_vector": {"danger": {"zero": r"layers\.0\.mlp\.up_proj"}},
    "zero_layer_in_expansion": {"initial": {"zero": r"layers\.1\.self_attn\.k_proj"}},
    "fresh_expansion": {"initial": {"fresh": True}},
    "zero_vector": {"danger": {"zero": "."}},
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_shapes_of_adapter(tmp_path: Path, name: str) -> None:
    folders = {
        role: tiny.save_adapter(tmp_path / role, seed=seed, **ADAPTERS[name].get(role, {}))
        for seed, role in ((21, "danger"), (22, "initial"))
    }
    one = Case("llama", folders)
    assert_agrees(one, ROWS[:3], [("danger", "initial", None)])
    if name == "zero_vector":
        assert one.project(ROWS[:3], [one.direction("danger", "initial")]).tolist() == [[0.0]] * 3


def test_adapters_without_a_layer_in_common_give_zero(tmp_path: Path) -> None:
    folders = {
        "danger": tiny.save_adapter(tmp_path / "danger", seed=21, targets=["q_proj"]),
        "initial": tiny.save_adapter(tmp_path / "initial", seed=22, targets=["o_proj"]),
    }
    one = Case("llama", folders)
    assert one.project(ROWS[:2], [one.direction("danger", "initial")]).tolist() == [[0.0]] * 2


def test_rank_pattern_on_conv1d(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "arch": "gpt2",
        "rank_pattern": {"c_attn": 2, "mlp.c_proj": 4},
        "use_rslora": True,
    }
    folders = {
        "danger": tiny.save_adapter(tmp_path / "danger", seed=21, **options),
        "initial": tiny.save_adapter(tmp_path / "initial", seed=22, **options),
    }
    assert_agrees(Case("gpt2", folders), ROWS[:3], [("danger", "initial", None)])


def test_subset_of_modules_is_summed_over_but_the_whole_expansion_point_stands(case: CaseFn) -> None:
    one = case("llama")
    modules = [name for name in tiny.linear_names(one.model) if "layers.1." in name]
    assert len(modules) == 7
    for metric in METRICS:
        values = one.project(ROWS, [one.direction("danger", "initial")], metric=metric, modules=modules)
        for i, row in enumerate(ROWS):
            expected = one.oracle(row, "danger", "initial")
            assert values[i, 0].item() == pytest.approx(
                expected.value(metric, modules), rel=0, abs=tolerance(expected, metric)
            )


def test_loss_is_the_mean_over_the_response_at_the_first_expansion_point(case: CaseFn) -> None:
    one = case("qwen2")
    directions = [one.direction("danger", "initial"), one.direction("safety", "safety", 1.0)]
    loss = Scorer(one.model, directions).project(ROWS).loss
    expected = [one.oracle(row, "danger", "initial").loss for row in ROWS]
    assert loss.tolist() == pytest.approx(expected, rel=1e-5)


def test_cosine_is_the_default_metric(case: CaseFn) -> None:
    one = case("llama")
    direction = one.direction("danger", "initial")
    assert torch.equal(one.project(ROWS, [direction]), one.project(ROWS, [direction], metric="cosine"))


def test_direction_along_the_update_itself_has_a_cosine_near_one(tmp_path: Path) -> None:
    """Not against the oracle but against geometry: V = -gB A0 at B0 = 0 is the update of that row itself."""
    folder = tiny.save_adapter(tmp_path / "initial", seed=22, fresh=True)
    one = Case("llama", {"initial": folder})
    row = ROWS[0]
    model = tiny.make_model("llama")
    at = oracle.load_peft(lambda: model, folder)
    oracle.response_loss(at, row.ids, row.labels).backward()
    direction = one.direction("initial", "initial")
    factors = dict(direction.vector.factors)
    for name, layer in oracle.lora_layers(at):
        a, b = oracle.factors(layer)
        factors[name] = LoraFactors(A=a.detach().float(), B=-b.grad.float(), scaling=1.0)
    aligned = Direction("aligned", Adapter(factors), direction.expansion)
    value = one.project([row], [aligned]).item()
    assert value == pytest.approx(len(factors), rel=1e-5)
    assert value <= len(factors) * (1 + 1e-6)
