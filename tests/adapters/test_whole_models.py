"""Directions out of whole models: the factors, the kept energy, and every reason to refuse."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.adapters.kinds import whole_model
from sqsd_lint.adapters.registry import ConversionContext
from sqsd_lint.bundle.importer import plain_adapter
from sqsd_lint.errors import ModelError
from tests import tiny


def tuned(root: Path, arch: str = "llama", *, scale: float = 0.05, only: str = "") -> tuple[Path, Path, Any]:
    """(base, tuned, displacement by parameter name): a random model, and the same moved at random."""
    base, after = tiny.make_model(arch), tiny.make_model(arch)
    generator = torch.Generator().manual_seed(9)
    moved = {}
    with torch.no_grad():
        for (name, p), q in zip(after.named_parameters(), base.parameters(), strict=True):
            if only in name:
                p.add_(scale * torch.randn(p.shape, generator=generator))
            moved[name] = p - q
    base.save_pretrained(root / "base")
    after.save_pretrained(root / "tuned", max_shard_size="20KB")
    assert len(list((root / "tuned").glob("*.safetensors"))) > 2
    return root / "base", root / "tuned", moved


def factor(base: Path, after: Path, out: Path, rank: int = whole_model.RANK) -> whole_model.Truncation:
    """What was kept of the displacement; the adapter is written to `out` as an import would."""
    _, _, kept = whole_model.factor_displacement(base, after, rank=rank)
    made = plain_adapter(after, out, whole=True, context=ConversionContext(base_model=base, rank=rank))
    assert made.folder == out
    assert made.facts == {"checkpoint": after.name, **kept.facts()}
    assert made.notes == (kept.note(),)
    return kept


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_the_best_factors_and_their_energy(tmp_path: Path, arch: str) -> None:
    base, after, moved = tuned(tmp_path, arch)
    kept = factor(base, after, tmp_path / "out", rank=5)
    model = tiny.make_model(arch)
    factors = load_adapter(tmp_path / "out", model).factors
    assert sorted(factors) == sorted(tiny.linear_names(model))
    shares, inside, held = [], 0.0, 0.0
    for name, f in factors.items():
        matrix = moved[f"{name}.weight"]
        matrix = matrix.T if arch == "gpt2" else matrix
        u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
        torch.testing.assert_close(f.scaling * f.B @ f.A, u[:, :5] * s[:5] @ vt[:5], rtol=1e-4, atol=1e-5)
        shares.append(float(s[:5].square().sum() / s.square().sum()))
        held, inside = held + float(s[:5].square().sum()), inside + float(s.square().sum())
    assert kept.energy == pytest.approx(held / inside, rel=1e-4)
    assert kept.energy_layer_min == pytest.approx(min(shares), rel=1e-4)
    assert kept.energy_layer_median == pytest.approx(median(shares), rel=1e-4)
    whole = sum(float(m.square().sum()) for m in moved.values())
    assert kept.outside == pytest.approx(1 - inside / whole, rel=1e-3)
    assert (kept.rank, kept.layers) == (5, len(factors))


def test_full_rank_keeps_all_and_peft_loads_it(tmp_path: Path) -> None:
    from peft import PeftModel

    base, after, moved = tuned(tmp_path, only="layers.1.mlp")
    kept = factor(base, after, tmp_path / "out", rank=40)
    assert kept.energy == pytest.approx(1, rel=1e-5)
    assert (kept.layers, kept.outside) == (3, 0.0)
    model = PeftModel.from_pretrained(tiny.make_model(), str(tmp_path / "out")).merge_and_unload()
    name = "model.layers.1.mlp.up_proj.weight"
    expected = tiny.make_model().state_dict()[name] + moved[name]
    torch.testing.assert_close(model.state_dict()[name], expected, rtol=1e-4, atol=1e-5)


def test_the_randomised_decomposition_is_nearly_as_good_and_always_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, after, _ = tuned(tmp_path)
    exact = factor(base, after, tmp_path / "exact", rank=4)
    monkeypatch.setattr(whole_model, "_EXACT", 0)
    found = [factor(base, after, tmp_path / name, rank=4) for name in ("one", "two")]
    assert found[0] == found[1]
    assert exact.energy * 0.999 <= found[0].energy <= exact.energy * (1 + 1e-5)
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_models_that_give_no_direction(tmp_path: Path) -> None:
    base, after, _ = tuned(tmp_path, only="norm")
    with pytest.raises(ModelError, match="every linear layer is the same"):
        factor(base, after, tmp_path / "out")
    other = tiny.save_model(tmp_path / "other", intermediate_size=70)
    with pytest.raises(ModelError, match=r"gate_proj.weight is \(70, 40\), but \(71, 40\)"):
        factor(base, other, tmp_path / "out")
    tiny.save_model(tmp_path / "gpt2", arch="gpt2")
    with pytest.raises(ModelError, match=r"has no weight 'model.layers.0.self_attn.q_proj.weight'"):
        factor(base, tmp_path / "gpt2", tmp_path / "out")
    index = json.loads((after / "model.safetensors.index.json").read_text())
    shard = after / index["weight_map"]["model.layers.0.self_attn.q_proj.weight"]
    save_file({name: t.to(torch.int8) for name, t in load_file(shard).items()}, shard)
    with pytest.raises(ModelError, match=r"is stored as torch\.int8"):
        factor(base, after, tmp_path / "out")
    shard.write_bytes(b"nothing")
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        factor(base, after, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_grown_vocabulary_is_no_obstacle(tmp_path: Path) -> None:
    base, _, _ = tuned(tmp_path)
    grown = tiny.make_model()
    grown.resize_token_embeddings(tiny.VOCAB + 5)
    with torch.no_grad():
        grown.model.layers[0].mlp.up_proj.weight.add_(0.1)
    grown.save_pretrained(tmp_path / "grown")
    kept = factor(base, tmp_path / "grown", tmp_path / "out", rank=1)
    assert kept.energy == pytest.approx(1, rel=1e-5)
    assert kept.outside < 1e-6
