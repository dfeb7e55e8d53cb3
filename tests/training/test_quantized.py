"""A build over a base of 4 bits: what it asks for, and that it trains so. bitsandbytes is a stand-in."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from sqsd_lint.cli.app import main
from sqsd_lint.common import extras
from sqsd_lint.scoring import linear
from sqsd_lint.training.build import build_bundle
from sqsd_lint.training.recipe import load_recipe
from tests.training.test_build import Watch, recipe_file

__all__ = ["recipe_file"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Have transformers load plain weights that say they are packed; return what it was asked for."""
    calls: list[dict[str, Any]] = []
    load = transformers.AutoModelForCausalLM.from_pretrained

    def from_pretrained(
        folder: Path, *, quantization_config: Any = None, device_map: Any = None, **options: Any
    ) -> Any:
        calls.append({"config": quantization_config, "device_map": device_map, **options})
        model = load(folder, **options)
        model.is_loaded_in_4bit = quantization_config is not None
        return model

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", from_pretrained)
    for module in (extras, linear):
        monkeypatch.setattr(module, "find_spec", lambda name: SimpleNamespace(name=name))
    return calls


def test_the_base_is_packed_and_its_blocks_are_computed_again(
    recipe_file: Path, tmp_path: Path, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = build_bundle(load_recipe(recipe_file), tmp_path / "plain", device="cpu")
    assert [call["config"] for call in asked] == [None, None]  # without the base adapter, and with it
    asked.clear()

    again = []
    checkpoint = transformers.modeling_utils.checkpoint

    def watched(*given: Any, **options: Any) -> Any:
        again.append(options.get("use_reentrant"))
        return checkpoint(*given, **options)

    monkeypatch.setattr(transformers.modeling_utils, "checkpoint", watched)
    recipe = load_recipe(recipe_file, quantize="4bit")
    packed = build_bundle(recipe, tmp_path / "packed", device="cpu")
    for config in (call["config"] for call in asked):
        assert config.load_in_4bit
        assert (config.bnb_4bit_quant_type, config.bnb_4bit_compute_dtype) == ("nf4", torch.float32)
    assert len(asked) == 2
    assert {call["device_map"][""] for call in asked} == {torch.device("cpu")}
    assert packed.manifest.training["danger"]["quantize"] == "4bit"
    assert "quantize" not in plain.manifest.training["danger"]
    # The weights are plain here, so the same adapters come out: computing blocks again changes no gradient.
    assert set(again) == {False}
    for name in ("initial", "danger", "safety"):
        a, b = (bundle.manifest.training[name]["final_loss"] for bundle in (plain, packed))
        assert a == pytest.approx(b, rel=1e-3)

    # What was trained without packing is not taken for it, and what was trained with it is not trained again.
    watch = Watch()
    build_bundle(recipe, tmp_path / "packed", device="cpu", progress=watch)
    assert watch.steps == 0
    build_bundle(recipe, tmp_path / "plain", device="cpu", progress=watch)
    assert watch.steps == 20


def test_without_bitsandbytes_the_extra_is_named_before_anything_is_fetched(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    (tmp_path / "danger.jsonl").unlink()
    command = ["bundle", "build", "--recipe", str(recipe_file), "-o", str(tmp_path / "out"), "--no-progress"]
    assert main([*command, "--quantize", "4bit"]) == 3
    assert 'pip install "sqsd-lint[quantized]"' in capsys.readouterr().err
    assert main([*command, "--quantize", "8bit"]) == 2
    assert "--quantize 4bit" in capsys.readouterr().err


def test_a_recipe_may_ask_for_it(recipe_file: Path) -> None:
    raw = json.loads(recipe_file.read_text())
    recipe_file.write_text(json.dumps({**raw, "quantize": "4bit"}))
    assert load_recipe(recipe_file).quantize == "4bit"


def test_sources_and_licences_are_named_first(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = json.loads(recipe_file.read_text())
    raw["adapters"][2]["data"][0] = {
        "name": "far",
        "licence": "CC-BY-4.0",
        "hub": "org/set",
        "revision": "abc",
    }
    recipe_file.write_text(json.dumps(raw))
    (tmp_path / "base.jsonl").unlink()
    assert main(["bundle", "build", "--recipe", str(recipe_file), "-o", str(tmp_path / "out")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "initial: initial-set (initial.jsonl), licence CC0" in said
    assert "danger: far (hf://org/set at abc), licence CC-BY-4.0" in said
