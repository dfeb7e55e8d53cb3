"""Mixtures of experts: what is scored of them, and the share that is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model

from sqsd_lint.score import Direction, Scorer, load_adapter
from sqsd_lint.score.coverage import recall, remember, uncovered_share
from tests import tiny
from tests.score.cases import random_rows

COMMON: dict[str, Any] = {
    "vocab_size": tiny.VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_experts_per_tok": 2,
}
CONFIGS = {
    "mixtral": lambda: transformers.MixtralConfig(**COMMON, intermediate_size=48, num_local_experts=4),
    # The first block is dense, as `mlp_only_layers` has it.
    "qwen3-moe": lambda: transformers.Qwen3MoeConfig(
        **COMMON,
        intermediate_size=48,
        moe_intermediate_size=24,
        num_experts=4,
        head_dim=8,
        mlp_only_layers=[0],
        norm_topk_prob=True,
    ),
}


def make(arch: str) -> Any:
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(CONFIGS[arch]()).eval()


def adapter(arch: str, folder: Path, seed: int) -> Path:
    """As PEFT makes it of `all-linear`."""
    wrapped: Any = get_peft_model(
        make(arch), LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    wrapped.save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize("arch", CONFIGS)
def test_linear_layers_are_scored_and_experts_are_not(arch: str, tmp_path: Path) -> None:
    model = make(arch)
    danger, safety, initial = (load_adapter(adapter(arch, tmp_path / str(i), i), model) for i in (1, 2, 3))
    assert not any("experts" in name for name in danger.factors)
    assert not any(name.endswith("mlp.gate") for name in danger.factors)
    assert "model.layers.1.self_attn.q_proj" in danger.factors
    directions = [Direction("danger", danger, initial), Direction("safety", safety, safety, 1.0)]
    found = Scorer(model, directions).project(random_rows(4), keep_modules=True)
    assert found.values.isfinite().all()
    assert (found.values != 0).all()
    assert set(found.per_module) == set(danger.factors)


@pytest.mark.parametrize("arch", CONFIGS)
def test_the_share_that_is_not_covered(arch: str) -> None:
    model = make(arch)
    outside = sum(
        p.numel() for n, p in model.named_parameters() if "experts" in n or n.endswith("mlp.gate.weight")
    )
    assert outside
    assert uncovered_share(model) == pytest.approx(outside / sum(p.numel() for p in model.parameters()))


@pytest.mark.parametrize("arch", tiny.ARCHITECTURES)
def test_dense_models_are_covered(arch: str) -> None:
    assert uncovered_share(tiny.make_model(arch)) == 0


def test_the_share_is_kept_beside_the_cache(tmp_path: Path) -> None:
    assert recall("a", tmp_path) == 0
    remember(0.0, "a", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    remember(0.25, "a", tmp_path)
    remember(0.5, "b", tmp_path)
    assert (recall("a", tmp_path), recall("b", tmp_path), recall("c", tmp_path)) == (0.25, 0.5, 0)
    (tmp_path / "coverage.json").write_text("[", encoding="utf-8")
    assert recall("a", tmp_path) == 0
