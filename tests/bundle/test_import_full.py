"""Importing whole models and full updates, and what such a bundle says of itself and of rows."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from sqsd_lint.bundle.importer import import_bundle
from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.bundle.manifest import Direction, from_json
from sqsd_lint.bundle.verify import verify
from sqsd_lint.common.schema import schema_problems
from sqsd_lint.config import Settings
from sqsd_lint.errors import UsageError
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.types import Expansion, Message, Sample, Where
from tests import oracle


@pytest.fixture(scope="module")
def models(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two whole models: the tiny one, each moved at random."""
    from transformers import AutoModelForCausalLM

    root = tmp_path_factory.mktemp("whole")
    for seed, role in enumerate(("danger", "safety")):
        model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.05 * torch.randn(p.shape, generator=generator))
        model.save_pretrained(root / role)
    return {role: root / role for role in ("danger", "safety")}


@pytest.fixture(scope="module")
def whole(models: dict[str, Path], tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("full")
    made = import_bundle(
        str(tiny_model_folder),
        models["danger"],
        models["safety"],
        checkpoints=("danger", "safety"),
        rank=6,
        output=root / "whole",
        cache_dir=root / "cache",
    )
    return made.root


def test_the_manifest(whole: Path, tiny_model_folder: Path) -> None:
    m = load_bundle(whole).manifest
    assert m.update == "full"
    assert m.directions == {
        "danger": Direction("danger", None, None),
        "safety": Direction("safety", "safety", 1.0),
    }
    assert m.adapters == ("danger", "safety")
    facts = m.training["danger"]
    assert (facts["checkpoint"], facts["r"]) == ("danger", 6)
    assert 0 < facts["energy_layer_min"] <= facts["energy_layer_median"] < 1
    assert any("rank 6" in note for note in m.notes)
    raw = m.to_json()
    assert schema_problems(raw, "bundle") == []
    assert from_json(json.loads(json.dumps(raw))) == m
    assert verify(whole, model=tiny_model_folder) == []


def test_the_update_is_part_of_the_scoring_digest_and_of_no_older_bundle(
    tiny_model_folder: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    folders = [tiny_adapters[role] for role in ("danger", "safety", "initial")]
    plain = import_bundle(str(tiny_model_folder), *folders, output=tmp_path / "plain")
    full = import_bundle(str(tiny_model_folder), *folders, update="full", output=tmp_path / "full")
    assert "update" not in plain.manifest.to_json()
    assert full.manifest.to_json()["update"] == "full"
    assert full.scoring_digest != plain.scoring_digest
    assert full.manifest.directions == plain.manifest.directions


@pytest.mark.parametrize("expansion", ["paper", "shared"])
def test_the_engine_scores_as_the_oracle(
    whole: Path, tiny_model_folder: Path, tmp_path: Path, expansion: Expansion
) -> None:
    from transformers import AutoModelForCausalLM

    settings = Settings(model=str(tiny_model_folder), device="cpu", dtype="float32", expansion=expansion)
    engine = ModelScorer(load_bundle(whole), settings, cache_dir=tmp_path / "cache", cache_scores=False)
    messages = (Message("user", "What is rain?"), Message("assistant", "Water that falls."))
    sample = Sample("0" * 32, messages, (False, True), Where("x", 1, 0))
    ((_, score),) = engine.score([sample])
    row = engine.parts()[0].encode(sample)
    exact = partial(
        AutoModelForCausalLM.from_pretrained,
        tiny_model_folder,
        dtype=torch.float64,
        attn_implementation="eager",
    )
    at = whole / "safety" if expansion == "paper" else None
    danger = oracle.full_terms(exact, None, whole / "danger", row.ids, row.labels)
    safety = oracle.full_terms(exact, at, whole / "safety", row.ids, row.labels, 1.0)
    assert score.danger == pytest.approx(danger.value("cosine"), abs=1e-3)  # type: ignore[union-attr]
    assert score.safety == pytest.approx(safety.value("cosine"), abs=1e-3)  # type: ignore[union-attr]


def test_settings_that_do_not_go_together(
    tiny_model_folder: Path, tiny_adapters: dict[str, Path], models: dict[str, Path], tmp_path: Path
) -> None:
    danger, safety = tiny_adapters["danger"], tiny_adapters["safety"]
    make = partial(import_bundle, str(tiny_model_folder), output=tmp_path / "b")
    with pytest.raises(UsageError, match="no initial state"):
        make(danger, safety)
    with pytest.raises(UsageError, match="--base and whole models"):
        make(models["danger"], safety, base=danger, checkpoints=("danger",))
    with pytest.raises(UsageError, match="update 'half'"):
        make(danger, safety, update="half")  # type: ignore[arg-type]
    mixed = make(models["danger"], safety, checkpoints=("danger",), rank=2)
    assert mixed.manifest.training["safety"]["r"] == 3


@pytest.mark.parametrize("change", [{"update": "half"}, {"update": "lora"}])
def test_manifests_that_do_not_hold(whole: Path, change: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="update"):
        from_json({**load_bundle(whole).manifest.to_json(), **change})
