"""`verify` finds everything at once and raises nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sqsd_lint.bundle.verify import verify
from sqsd_lint.common.json_io import sha256_file
from tests import tiny


def rewrite(folder: Path, name: str, value: float, dtype: torch.dtype) -> None:
    """Put a value into an adapter's first tensor and the new digest into the manifest."""
    path = folder / name / "adapter_model.safetensors"
    tensors = {key: tensor.to(dtype) for key, tensor in load_file(path).items()}
    tensors[min(tensors)].view(-1)[3] = value
    save_file(tensors, path)
    raw = json.loads((folder / "bundle.json").read_text())
    raw["files"][f"{name}/adapter_model.safetensors"] = sha256_file(path)
    (folder / "bundle.json").write_text(json.dumps(raw))


def redigest(folder: Path, name: str) -> None:
    raw = json.loads((folder / "bundle.json").read_text())
    raw["files"][name] = sha256_file(folder / name)
    (folder / "bundle.json").write_text(json.dumps(raw))


@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("name", "part", "says"),
    [
        ("danger", "", "all its weights are zero"),
        ("safety", "", "all its weights are zero"),
        ("initial", "", "all its weights are zero"),
        ("danger", "lora_B", "its update is"),
    ],
)
def test_weights_that_are_all_zero(
    name: str, part: str, says: str, zero: float, dtype: torch.dtype, folder: Path
) -> None:
    path = folder / name / "adapter_model.safetensors"
    tensors = {
        key: torch.full_like(tensor, zero, dtype=dtype) if part in key else tensor
        for key, tensor in load_file(path).items()
    }
    save_file(tensors, path)
    redigest(folder, f"{name}/adapter_model.safetensors")
    assert says in " ".join(each.message for each in verify(folder) if each.where.startswith(name))
    # One weight that is not, however small, is a weight.
    min((t for k, t in tensors.items() if "lora_B" in k), key=lambda t: t.shape).view(-1)[-1] = 6e-8
    save_file(tensors, path)
    redigest(folder, f"{name}/adapter_model.safetensors")
    assert "zero" not in " ".join(each.message for each in verify(folder) if each.where.startswith(name))


def test_an_adapter_before_its_training_may_be_zero(folder: Path) -> None:
    path = folder / "initial/adapter_model.safetensors"
    tensors = load_file(path)
    save_file({k: torch.zeros_like(t) if "lora_B" in k else t for k, t in tensors.items()}, path)
    redigest(folder, "initial/adapter_model.safetensors")
    assert "zero" not in " ".join(each.message for each in verify(folder))


def test_keys_that_stand_twice(folder: Path) -> None:
    config = folder / "danger/adapter_config.json"
    config.write_text(config.read_text().replace("{", '{"r": 1, "r": 1, ', 1))
    redigest(folder, "danger/adapter_config.json")
    weights = folder / "safety/adapter_model.safetensors"
    data = weights.read_bytes()
    length = int.from_bytes(data[:8], "little")
    name = min(json.loads(data[8 : 8 + length]).keys() - {"__metadata__"})
    entry = json.dumps(json.loads(data[8 : 8 + length])[name])
    header = b"{" + json.dumps(name).encode() + b":" + entry.encode() + b"," + data[9 : 8 + length]
    weights.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
    redigest(folder, "safety/adapter_model.safetensors")
    told = {each.where: each.message for each in verify(folder)}
    assert "'r' is given twice" in told["danger/adapter_config.json"]
    assert "is given twice" in told["safety"]


def test_a_good_bundle_has_no_findings(folder: Path, tiny_model_folder: Path) -> None:
    assert verify(folder) == []
    assert verify(folder, model=tiny_model_folder) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_that_are_not_finite(folder: Path, value: float, dtype: torch.dtype) -> None:
    rewrite(folder, "safety", value, dtype)
    (finding,) = verify(folder)
    assert finding.where == "safety/adapter_model.safetensors"
    assert "NaN or infinite" in finding.message


@pytest.mark.parametrize("value", [0.0, -65504.0, 6e-8])
def test_extreme_but_finite_weights_are_fine(folder: Path, value: float) -> None:
    rewrite(folder, "safety", value, torch.float16)
    assert verify(folder) == []


def test_everything_is_found_at_once(folder: Path, tmp_path: Path) -> None:
    (folder / "danger/adapter_config.json").write_text("{}")
    (folder / "safety/adapter_model.safetensors").unlink()
    (folder / "evil.bin").write_bytes(b"")
    other = tiny.save_model(tmp_path / "other", hidden_size=48)
    where = {finding.where for finding in verify(folder, model=other)}
    assert {"danger/adapter_config.json", "danger", "safety", "evil.bin", "initial", "base_model"} <= where


@pytest.mark.parametrize("text", ["", "{", "null", "{}", '{"format_version": 1}'])
def test_damaged_manifests(folder: Path, text: str) -> None:
    (folder / "bundle.json").write_text(text)
    findings = verify(folder)
    assert findings
    assert all(finding.where == "bundle.json" for finding in findings)


def test_no_bundle_at_all(tmp_path: Path) -> None:
    (finding,) = verify(tmp_path)
    assert "cannot be read" in finding.message
