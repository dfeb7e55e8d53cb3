"""Variants of LoRA that PEFT itself made, against the weights that PEFT itself merges."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.adapters.peft_folder import inspect_adapter
from sqsd_lint.bundle.importer import PlainAdapter, plain_adapter
from sqsd_lint.errors import AdapterError
from tests import tiny

Made = tuple[Path, Path, Any]
Q = "model.layers.0.self_attn.q_proj"


def trained(root: Path, arch: str = "llama", **options: Any) -> Made:
    """(the adapter, its start, the model as it was before and after in float32) by PEFT."""
    fields = {"r": 3, "lora_alpha": 6, "target_modules": "all-linear", "fan_in_fan_out": arch == "gpt2"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = get_peft_model(
            tiny.make_model(arch), LoraConfig(**{**fields, "task_type": "CAUSAL_LM", **options})
        )
        model.save_pretrained(root / "start", save_embedding_layers=False)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_A" in name or "lora_B" in name:
                    parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator))
        model.save_pretrained(root / "trained", save_embedding_layers=False)
        merged = model.merge_and_unload()
    return root / "trained", root / "start", merged


@pytest.mark.parametrize(
    ("init", "arch", "options"),
    [
        ("pissa", "llama", {}),
        ("olora", "llama", {}),
        ("pissa", "llama", {"use_rslora": True}),
        ("pissa", "llama", {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"up_proj": 5}}),
        ("pissa", "gpt2", {}),
        ("olora", "phi3", {}),
    ],
    ids=["pissa", "olora", "rslora", "patterns", "conv1d", "fused"],
)
def test_the_displacement_from_the_start(
    tmp_path: Path, init: str, arch: str, options: dict[str, Any]
) -> None:
    """s V is what training moved: PEFT's merged model less the base model."""
    folder, start, after = trained(tmp_path, arch, init_lora_weights=init, **options)
    made = plain_adapter(folder, tmp_path / "plain", start=start)
    found, notes = made.folder, made.notes
    assert notes == (f"{init}: the displacement from its start",)
    before = dict(tiny.make_model(arch).named_modules())
    for name, f in load_adapter(found, tiny.make_model(arch)).factors.items():
        moved = dict(after.named_modules())[name].weight - before[name].weight
        moved = moved.T if arch == "gpt2" else moved
        torch.testing.assert_close(f.scaling * f.B @ f.A, moved, rtol=1e-3, atol=1e-5)
        assert f.A.norm() == pytest.approx(f.B.norm().item(), rel=1e-4)  # balanced


def test_peft_agrees_with_its_own_conversion_and_loads_ours(tmp_path: Path) -> None:
    folder, start, after = trained(tmp_path, init_lora_weights="pissa")
    found = plain_adapter(folder, tmp_path / "plain", start=start).folder
    loaded = PeftModel.from_pretrained(tiny.make_model(), str(found))
    ids = torch.tensor([tiny.random_sample(1)[0]])
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids).logits, after(ids).logits, rtol=1e-3, atol=1e-3)
    assert inspect_adapter(found).shapes[Q] == (40, 6, 40)


def test_dora_keeps_its_direction_part(tmp_path: Path) -> None:
    folder, _, _ = trained(tmp_path, use_dora=True)
    made = plain_adapter(folder, tmp_path / "plain", start=None)
    found, notes = made.folder, made.notes
    assert notes == ("DoRA: the direction part B A; the magnitudes are left out",)
    before, after = (load_file(path / "adapter_model.safetensors") for path in (folder, found))
    assert any("magnitude" in name for name in before)
    assert after.keys() == {name for name in before if "magnitude" not in name}
    assert all(torch.equal(after[name], before[name]) for name in after)
    assert not json.loads((found / "adapter_config.json").read_text())["use_dora"]
    assert inspect_adapter(found).shapes


def test_plain_adapters_stay_where_they_are(tiny_adapters: dict[str, Path], tmp_path: Path) -> None:
    folder = tiny_adapters["danger"]
    assert plain_adapter(folder, tmp_path / "plain") == PlainAdapter(folder)
    assert not (tmp_path / "plain").exists()


def configure(folder: Path, **changes: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_without_the_start_the_command_that_makes_it_is_given(tmp_path: Path) -> None:
    """And it makes the very start: the same product B0 A0, whatever signs the decomposition took."""
    folder, start, _ = trained(tmp_path, init_lora_weights="pissa")
    with pytest.raises(AdapterError, match="known only with its start") as caught:
        plain_adapter(folder, tmp_path / "plain", start=None)
    assert caught.value.hint is not None
    command = caught.value.hint.partition('python -c "')[2].rstrip('"')
    tiny.make_model().save_pretrained(tmp_path / "base")
    for word, path in (("BASE", "base"), ("ADAPTER", "trained"), ("START", "again")):
        command = command.replace(f"'{word}'", repr(str(tmp_path / path)))
    exec(command, {})  # what the user is told to run
    again = load_file(tmp_path / "again" / "adapter_model.safetensors")
    first = load_file(start / "adapter_model.safetensors")
    key = f"base_model.model.{Q}.lora_"
    for one in (again, first):
        one["product"] = one[f"{key}B.weight"] @ one[f"{key}A.weight"]
    torch.testing.assert_close(again["product"], first["product"], rtol=1e-4, atol=1e-5)


def test_no_command_for_a_start_that_draws_numbers(tmp_path: Path) -> None:
    folder, _, _ = trained(tmp_path, init_lora_weights="pissa")
    configure(folder, init_lora_weights="pissa_niter_4")
    with pytest.raises(AdapterError, match="pissa_niter_4") as caught:
        plain_adapter(folder, tmp_path / "plain", start=None)
    assert "python" not in str(caught.value.hint)


def untrained(folder: Path, start: Path) -> None:
    shutil.copytree(folder, start, dirs_exist_ok=True)


def other_scaling(folder: Path, start: Path) -> None:
    configure(start, lora_alpha=3)


def other_modules(folder: Path, start: Path) -> None:
    path = start / "adapter_model.safetensors"
    tensors = {name: t for name, t in load_file(path).items() if "q_proj" not in name}
    save_file(tensors, path)


def unrelated(folder: Path, start: Path) -> None:
    path = start / "adapter_model.safetensors"
    save_file({name: torch.randn(t.shape) / 100 for name, t in load_file(path).items()}, path)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (untrained, "was not trained"),
        (other_scaling, "differs from .* in lora_alpha"),
        (other_modules, "in its modules or their shapes"),
        (unrelated, "not what that adapter started from"),
    ],
)
def test_starts_that_are_not_the_adapters(
    tmp_path: Path, spoil: Callable[[Path, Path], None], complaint: str
) -> None:
    folder, start, _ = trained(tmp_path, init_lora_weights="pissa")
    spoil(folder, start)
    with pytest.raises(AdapterError, match=complaint):
        plain_adapter(folder, tmp_path / "plain", start=start)
    assert not (tmp_path / "plain").exists()
