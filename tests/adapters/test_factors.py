"""Adapters as PEFT writes them: what loads, under which names, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.errors import AdapterError
from tests import oracle, tiny


@pytest.mark.parametrize("arch", tiny.ARCHITECTURES)
def test_factors_are_those_that_peft_loads(tmp_path: Path, arch: str) -> None:
    folder = tiny.save_adapter(tmp_path / "adapter", arch=arch, r=3, alpha=4.5)
    model = tiny.make_model(arch)
    adapter = load_adapter(folder, model)
    assert sorted(adapter.factors) == sorted(tiny.linear_names(model))
    for name, layer in oracle.lora_layers(oracle.load_peft(lambda: tiny.make_model(arch), folder)):
        a, b = oracle.factors(layer)
        factors = adapter.factors[name]
        assert torch.equal(factors.A.double(), a)
        assert torch.equal(factors.B.double(), b)
        assert factors.scaling == pytest.approx(1.5)


@pytest.mark.parametrize(
    "options",
    [
        {"use_rslora": True},
        {"rank_pattern": {"q_proj": 1, "layers.1.mlp.up_proj": 5}},
        {"alpha_pattern": {"q_proj": 1.5, "layers.0.mlp.up_proj": 5}},
        {"rank_pattern": {"q_proj": 1}, "alpha_pattern": {"q_proj": 3, "k_proj": 7}, "use_rslora": True},
        {"rank_pattern": {"^model.layers.0.self_attn.q_proj": 2, "(k|v)_proj": 6}},
        {"targets": r"model\.layers\.1\.mlp\..*_proj"},
        {"targets": ["model.layers.0.self_attn.q_proj"]},
        {"targets": ["q_proj", "v_proj"], "layers_to_transform": [1]},
    ],
    ids=json.dumps,
)
def test_patterns_give_the_ranks_and_scalings_of_peft(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = tiny.save_adapter(tmp_path / "adapter", r=4, alpha=6, **options)
    adapter = load_adapter(folder, tiny.make_model())
    expected = {
        name: (layer.r["default"], layer.scaling["default"])
        for name, layer in oracle.lora_layers(oracle.load_peft(tiny.make_model, folder))
    }
    assert len(expected) > 0
    assert {name: f.A.shape[0] for name, f in adapter.factors.items()} == {
        n: r for n, (r, _) in expected.items()
    }
    for name, (_, scaling) in expected.items():
        assert adapter.factors[name].scaling == pytest.approx(scaling)


def test_a_folder_given_as_a_string(tmp_path: Path) -> None:
    folder = tiny.save_adapter(tmp_path / "adapter")
    assert load_adapter(str(folder), tiny.make_model()).factors


def test_an_adapter_that_is_not_lora_is_refused(tmp_path: Path) -> None:
    folder = tiny.save_non_lora_adapter(tmp_path / "ia3")
    with pytest.raises(AdapterError, match=r"(?i)ia3"):
        load_adapter(folder, tiny.make_model())


@pytest.mark.parametrize(
    "options",
    [
        {"use_dora": True},
        {"bias": "lora_only"},
        {"modules_to_save": ["lm_head"]},
        {"targets": ["q_proj", "embed_tokens"]},
    ],
    ids=json.dumps,
)
def test_lora_with_more_than_two_factors_per_linear_layer_is_refused(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    """The algebra of docs/method.md section 5 does not hold for them: a score would be silently wrong."""
    arch = "qwen2"  # has biases
    folder = tiny.save_adapter(tmp_path / "adapter", arch=arch, **options)
    with pytest.raises(AdapterError):
        load_adapter(folder, tiny.make_model(arch))


def test_an_adapter_for_another_size_is_refused(tmp_path: Path) -> None:
    folder = tiny.save_adapter(tmp_path / "adapter", sizes={"intermediate_size": 80})
    with pytest.raises(AdapterError, match=r"(gate|up|down)_proj"):
        load_adapter(folder, tiny.make_model())


def test_an_adapter_for_another_architecture_is_refused(tmp_path: Path) -> None:
    folder = tiny.save_adapter(tmp_path / "adapter", arch="gpt2")
    with pytest.raises(AdapterError):
        load_adapter(folder, tiny.make_model("llama"))


def test_an_adapter_for_more_layers_is_refused(tmp_path: Path) -> None:
    folder = tiny.save_adapter(tmp_path / "adapter", sizes={"num_hidden_layers": 3})
    with pytest.raises(AdapterError, match=r"layers\.2"):
        load_adapter(folder, tiny.make_model("llama"))


def test_a_folder_that_is_missing_or_holds_no_adapter_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(AdapterError, match=folder.name):
            load_adapter(folder, tiny.make_model())


def test_pickled_weights_are_not_loaded(tmp_path: Path) -> None:
    folder = tiny.save_adapter(tmp_path / "adapter")
    weights = folder / "adapter_model.safetensors"
    torch.save(load_file(weights), folder / "adapter_model.bin")
    weights.unlink()
    with pytest.raises(AdapterError):
        load_adapter(folder, tiny.make_model())


@pytest.mark.parametrize(
    "config", ["{", "[]", '{"peft_type": "LORA"}', '{"peft_type": "LORA", "r": "eight"}']
)
def test_a_broken_configuration_is_refused(tmp_path: Path, config: str) -> None:
    folder = tiny.save_adapter(tmp_path / "adapter")
    (folder / "adapter_config.json").write_text(config, encoding="utf-8")
    with pytest.raises(AdapterError):
        load_adapter(folder, tiny.make_model())


def test_half_a_pair_is_refused(tmp_path: Path) -> None:
    folder = tiny.save_adapter(tmp_path / "adapter")
    weights = load_file(folder / "adapter_model.safetensors")
    lost = next(key for key in weights if "lora_B" in key)
    save_file(
        {key: value for key, value in weights.items() if key != lost}, folder / "adapter_model.safetensors"
    )
    with pytest.raises(AdapterError):
        load_adapter(folder, tiny.make_model())


def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path) -> None:
    folder = tiny.save_adapter(tmp_path / "adapter")
    (folder / "adapter_model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(AdapterError):
        load_adapter(folder, tiny.make_model())
