"""The directions of a bundle, of either kind, as what they do to the weights."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.bundle.manifest import TopBlocks
from sqsd_lint.drift.directions import WeightDirections
from sqsd_lint.errors import AdapterError
from tests.drift.runs import adapter_matrices, directions_of


def test_task_vectors_are_what_peft_adds(tiny_bundle: Path) -> None:
    bundle, directions = directions_of(tiny_bundle)
    for name, direction in (("danger", directions.danger), ("safety", directions.safety)):
        whole = adapter_matrices(bundle.adapter_dir(name))
        assert list(direction.layers) == list(whole)
        for module, low in direction.layers.items():
            assert torch.allclose(low.up @ low.down, whole[module])
        norm = math.sqrt(sum(float(v.square().sum()) for v in whole.values()))
        assert direction.norm == direction.length == pytest.approx(norm)


def test_a_margin_gradient_is_one_step_along_it(tiny_bundle: Path) -> None:
    """V against the numerical change of s0 B A when the factors move along the gradient."""
    bundle = load_bundle(tiny_bundle)
    spec = msgspec.structs.replace(
        bundle.manifest.directions["danger"], kind="margin-gradient", expansion="initial"
    )
    manifest = msgspec.structs.replace(
        bundle.manifest, directions={**bundle.manifest.directions, "danger": spec}
    )
    directions = WeightDirections.of(replace(bundle, manifest=manifest))
    gradient = load_adapter(bundle.adapter_dir("danger")).factors
    at = load_adapter(bundle.adapter_dir("initial")).factors
    for module, low in directions.danger.layers.items():
        A, B, gA, gB = (
            t.double() for t in (at[module].A, at[module].B, gradient[module].A, gradient[module].B)
        )
        h = 1e-4
        moved = [at[module].scaling * (B + s * gB) @ (A + s * gA) for s in (h, -h)]
        assert torch.allclose(low.up @ low.down, (moved[0] - moved[1]) / (2 * h), atol=1e-8)
        assert low.up.shape[1] == 2 * A.shape[0]
    assert math.isnan(directions.danger.length)


def test_only_the_blocks_that_are_scored(tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    blocks = msgspec.structs.replace(bundle.manifest, scored=TopBlocks(1))
    top = WeightDirections.of(replace(bundle, manifest=blocks))
    assert {name.split(".")[2] for name in top.modules} == {"1"}
    one = WeightDirections.of(bundle, modules=["model.layers.0.mlp.up_proj"])
    assert one.modules == ("model.layers.0.mlp.up_proj",)
    with pytest.raises(AdapterError, match="danger direction has no layer"):
        WeightDirections.of(bundle, modules=["nowhere"])


def test_the_embedded_default_has_axes() -> None:
    from sqsd_lint import resources

    folder = resources.bundles_dir() / "default"
    directions = WeightDirections.of(load_bundle(folder))
    assert len(directions.modules) == 210
    assert abs(directions.cosine) < 1
    danger = json.loads((folder / "bundle.json").read_text())["directions"]["danger"]
    assert math.isnan(directions.danger.length) == (danger.get("kind") == "margin-gradient")
