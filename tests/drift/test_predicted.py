"""Forecasts against training that really takes place, on a tiny model in float32."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.bundle.resolve import open_bundle
from sqsd_lint.drift.directions import WeightDirection, WeightDirections, gradient_layers
from sqsd_lint.drift.displacement import project
from sqsd_lint.drift.predicted import FineTune, Forecaster
from sqsd_lint.rules.fine_tune import FineTuneSettings
from sqsd_lint.scoring import Direction, Scorer
from sqsd_lint.types import Encoded
from tests import tiny

# Five rows in batches of two: the last step has one row alone, which weighs no more than the others.
ROWS = [
    Encoded(ids, labels, response_tokens=7)
    for ids, labels in (tiny.random_sample(k, prompt=4 + k, vocab=40) for k in range(5))
]
SMALL = FineTuneSettings(learning_rate=1e-5, epochs=2, batch_size=2)


@pytest.fixture
def model(tiny_model_folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32).eval()


def directions_of(kind: str, bundle: Path, adapters: dict[str, Path]) -> WeightDirections:
    """The bundle's own task vectors; or its adapters read as gradients at the initial state."""
    if kind == "task-vector":
        return WeightDirections.of(open_bundle(str(bundle)))
    point = load_adapter(adapters["initial"])
    danger, safety = (gradient_layers(load_adapter(adapters[name]), point) for name in ("danger", "safety"))
    return WeightDirections(
        WeightDirection(danger, "margin-gradient"), WeightDirection(safety, "margin-gradient")
    )


@pytest.mark.parametrize("kind", ["task-vector", "margin-gradient"])
def test_a_small_step_goes_where_it_was_forecast(
    kind: str, model: Any, tiny_bundle: Path, tiny_adapters: dict[str, Path]
) -> None:
    directions = directions_of(kind, tiny_bundle, tiny_adapters)
    found = Forecaster(model, directions, load_adapter(tiny_adapters["initial"])).rows(ROWS)
    tune = FineTune(model, tiny_adapters["initial"])
    tune.run(ROWS, SMALL, "sgd")
    drift = project(directions, tune.displacement())
    assert drift.norm > 0
    for name, actual in (("danger", drift.danger), ("safety", drift.safety)):
        expected = SMALL.factor * math.fsum(getattr(row, name) for row in found)
        assert actual.projection == pytest.approx(expected, rel=1e-2)


def test_along_a_task_vector_the_forecast_is_that_of_the_rule(
    model: Any, tiny_bundle: Path, tiny_adapters: dict[str, Path]
) -> None:
    directions, point = (
        WeightDirections.of(open_bundle(str(tiny_bundle))),
        load_adapter(tiny_adapters["initial"]),
    )
    found = Forecaster(model, directions, point).rows(ROWS)
    own = Scorer(model, [Direction("danger", load_adapter(tiny_adapters["danger"]), point)]).project(ROWS)
    shares = [row.danger / directions.danger.norm for row in found]
    assert shares == pytest.approx(own.drift[:, 0].tolist(), rel=1e-4)


def test_every_run_starts_anew_and_unload_gives_the_base_back(
    model: Any, tiny_adapters: dict[str, Path]
) -> None:
    ids = torch.tensor([ROWS[0].ids])
    before = model(ids).logits.detach()
    tune = FineTune(model, tiny_adapters["initial"])
    training = FineTuneSettings(learning_rate=1e-2, epochs=2, batch_size=2)
    first = tune.run(ROWS, training, "adamw"), tune.displacement()
    tune.run(ROWS, training, "sgd", seed=3)
    again = tune.run(ROWS, training, "adamw"), tune.displacement()
    assert again[0] == first[0]
    for name, moved in first[1].items():
        assert torch.equal(moved.up, again[1][name].up)
    longer = tune.run(ROWS, FineTuneSettings(learning_rate=1e-2, epochs=6, batch_size=2), "adamw")
    assert longer < first[0]
    tune.unload()
    assert torch.equal(model(ids).logits, before)
