"""Mixtures of experts: what is scored of them, and the share that is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.errors import ModelError
from sqsd_lint.scoring import Direction, Scorer
from sqsd_lint.scoring import patched_linear as expansion
from sqsd_lint.scoring.memory_estimate import DryRun
from sqsd_lint.scoring.model import load_model
from sqsd_lint.scoring.patched_linear import Running, is_routed
from sqsd_lint.scoring.uncovered_parameters import recall, remember, uncovered_share
from tests import oracle, tiny
from tests.scoring.cases import encoded, random_rows

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
    # A shared expert, and its gate, get the batch's tokens in one long row.
    "qwen2-moe": lambda: transformers.Qwen2MoeConfig(
        **COMMON,
        intermediate_size=48,
        moe_intermediate_size=24,
        shared_expert_intermediate_size=40,
        num_experts=4,
    ),
}


LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "shared_expert_gate"]


def make(arch: str, **options: Any) -> Any:
    torch.manual_seed(0)
    model: Any = transformers.AutoModelForCausalLM.from_config(CONFIGS[arch](), **options)
    with torch.no_grad():  # a fresh model's layers hardly add to what passes them by
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "embed" not in name:
                parameter.mul_(8)
    return model.eval()


def adapter(arch: str, folder: Path, seed: int, targets: Any = "all-linear") -> Path:
    """As PEFT makes it."""
    wrapped: Any = get_peft_model(make(arch), LoraConfig(r=2, target_modules=targets, task_type="CAUSAL_LM"))
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


def test_a_shared_expert_is_scored_as_autograd_has_it(tmp_path: Path) -> None:
    arch, rows = "qwen2-moe", random_rows(5, seed=3)
    names = ("danger", "safety", "initial")
    folders = {name: adapter(arch, tmp_path / name, i, LINEAR) for i, name in enumerate(names)}

    def exact() -> Any:
        return make(arch, attn_implementation="eager", experts_implementation="eager").double()

    model = make(arch)
    danger, safety, initial = (load_adapter(folders[name], model) for name in names)
    directions = [Direction("danger", danger, initial), Direction("safety", safety, safety, 1.0)]
    found = Scorer(model, directions, batch_tokens=128).project(rows, keep_modules=True)
    for i, row in enumerate(rows):
        wanted = (
            oracle.oracle_terms(exact, folders["initial"], folders["danger"], row.ids, row.labels),
            oracle.oracle_terms(exact, folders["safety"], folders["safety"], row.ids, row.labels, 1.0),
        )
        for column, one in enumerate(wanted):
            assert len(one.terms) == 2 * len(LINEAR)
            for name, term in one.terms.items():
                share = found.per_module[name][i, column].item()
                assert share == pytest.approx(term.value("cosine"), abs=1e-4), name
            assert found.values[i, column].item() == pytest.approx(one.value("cosine"), abs=1e-3)


def test_other_tokens_than_the_batch_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("qwen2-moe")
    at = load_adapter(adapter("qwen2-moe", tmp_path, 1, LINEAR), model)
    scorer = Scorer(model, [Direction("danger", at, at)])
    shared = model.model.layers[0].mlp.shared_expert
    forward = shared.forward
    monkeypatch.setattr(shared, "forward", lambda x: forward(x[:7]))
    with pytest.raises(ModelError, match=r"shared_expert.gate_proj' gets an input of shape \(7, 32\)"):
        scorer.project([encoded(range(1, 13), [-100, *range(2, 13)])])


def test_what_a_router_hands_out_is_no_batch() -> None:
    running = Running()
    x = torch.zeros(12, 32)
    assert not running.is_flat(x)
    running.enter(torch.nn.Module(), (), {"input_ids": torch.zeros(3, 4)})
    assert running.is_flat(x)
    assert not running.is_flat(x[:11])
    assert not running.is_flat(x.view(3, 4, 32))


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("mlp.up_proj", "Mlp", False),
        ("mlp.experts.3.up_proj", "Mlp", True),
        ("ffn.experts.expert_3.fc1", "Mlp", True),
        ("moe.parts.3.up_proj", "TopTwoExpert", True),
        ("mlp.shared_expert.up_proj", "Mlp", False),
        ("mlp.shared_experts.up_proj", "SomeExpert", False),
        ("mlp.always.up_proj", "SharedExperts", False),
        ("mlp.shared_experts.0.up_proj", "SomeExpert", False),
        ("mlp.shared_mlp.experts.0.up_proj", "Mlp", True),
    ],
)
def test_what_is_an_expert_of_a_router(name: str, kind: str, expected: bool) -> None:
    """A layer in one gets its tokens in the router's order, even where it gets as many as the batch has."""
    block = type(kind, (torch.nn.Module,), {})()
    parents = {name.rpartition(".")[0]: block, name: torch.nn.Linear(2, 2)}
    assert is_routed(name, parents) is expected


def test_an_expert_that_gets_every_token_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("qwen2-moe")
    at = load_adapter(adapter("qwen2-moe", tmp_path, 1, LINEAR), model)
    scorer = Scorer(model, [Direction("danger", at, at)])
    row = encoded(range(1, 13), [-100, *range(2, 13)])
    scorer.project([row])
    monkeypatch.setattr(expansion, "_SHARED", re.compile("nothing"))
    with pytest.raises(ModelError, match=r"shared_expert.gate_proj' gets an input of shape \(12, 32\)"):
        scorer.project([row])


@pytest.mark.parametrize(("arch", "width"), [("mixtral", 48), ("qwen2-moe", 24)])
def test_a_mixture_is_rehearsed_in_float32(arch: str, width: int) -> None:
    """Each token meets its `num_experts_per_tok` experts and no others."""
    passes = []
    for routed in (1, 2):
        config = CONFIGS[arch]()
        config.num_experts_per_tok = routed
        made = DryRun(config, dtype=torch.float32, device=torch.device("cpu"))
        linear = [(n, m) for n, m in made.model.named_modules() if isinstance(m, torch.nn.Linear)]
        shapes = {n: (m.out_features, 2, m.in_features) for n, m in linear if n != "lm_head"}
        passes.append(made.run(shapes, columns=1, rows=1, tokens=64))
    # Two blocks, three matrices; forward and backward, a product and its sum as two.
    assert passes[1].flops - passes[0].flops == pytest.approx(2 * 64 * 3 * 32 * width * 4)
    assert passes[1].peak > passes[0].peak


@pytest.mark.parametrize("arch", CONFIGS)
def test_the_share_that_is_not_covered(arch: str) -> None:
    model = make(arch)
    outside = sum(
        p.numel() for n, p in model.named_parameters() if "experts" in n or n.endswith("mlp.gate.weight")
    )
    assert outside
    assert uncovered_share(model) == pytest.approx(outside / sum(p.numel() for p in model.parameters()))


def test_packing_changes_no_share(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra `quantized` is not installed")
    make("mixtral").save_pretrained(tmp_path)
    shares = [
        uncovered_share(load_model(tmp_path, device=torch.device("cpu"), dtype=torch.float32, quantize=bits))
        for bits in (None, "4bit", "8bit")
    ]
    assert shares[1:] == pytest.approx([shares[0]] * 2)


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
