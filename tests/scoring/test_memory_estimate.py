"""The rehearsal: what it counts, and that a real run takes as much."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from sqsd_lint.adapters.linear_modules import is_linear, linear_shape
from sqsd_lint.errors import ModelError
from sqsd_lint.scoring.memory_estimate import HEADROOM, RUNTIME, DryRun, make_dry_run, weight_bytes
from tests import tiny

CPU = torch.device("cpu")
RANK = 8
ROWS, TOKENS = 2, 1024
ROPE: dict[str, Any] = {"max_position_embeddings": 2048, "num_key_value_heads": 2}
# Shapes that differ in what the estimate depends on: width to depth, vocabulary, MLP, attention, tied heads.
CONFIGS = {
    "llama": lambda: transformers.LlamaConfig(
        **{**ROPE, "num_key_value_heads": 4},
        vocab_size=8000,
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=8,
        num_attention_heads=8,
        tie_word_embeddings=True,
    ),
    "qwen3": lambda: transformers.Qwen3Config(
        **ROPE,
        vocab_size=16000,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=12,
        num_attention_heads=6,
        head_dim=64,
    ),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=12000, n_positions=2048, n_embd=576, n_layer=6, n_head=9, bos_token_id=1, eos_token_id=2
    ),
    # Deep and narrow, and a mixture: where the allocator leaves the most holes.
    "deep": lambda: transformers.LlamaConfig(
        **{**ROPE, "num_key_value_heads": 6},
        vocab_size=2000,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=24,
        num_attention_heads=6,
    ),
    "mixture": lambda: transformers.MixtralConfig(
        **ROPE,
        vocab_size=8000,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_local_experts=8,
        num_experts_per_tok=2,
    ),
}
BATCHES = {"deep": (8, 256), "mixture": (2, 512)}


def shapes(model: Any) -> dict[str, tuple[int, int, int]]:
    head = model.get_output_embeddings()
    found = {n: linear_shape(m) for n, m in model.named_modules() if is_linear(m) and m is not head}
    return {name: (d_out, RANK, d_in) for name, (d_out, d_in) in found.items()}


def rehearsal(config: Any) -> DryRun:
    return DryRun(config, dtype=torch.float32, device=CPU)


def test_a_deep_model_is_continued_from_a_shallow_one() -> None:
    sizes: dict[str, Any] = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 48}
    made = rehearsal(
        transformers.LlamaConfig(**sizes, num_hidden_layers=14, num_attention_heads=4, num_key_value_heads=2)
    )
    told = made.run(shapes(made.model), columns=1, rows=2, tokens=64)
    whole = made._at_depth(14, shapes(made.model), 1, 2, 64)
    assert told.peak == pytest.approx(whole.peak, rel=0.01)
    assert told.flops == pytest.approx(whole.flops, rel=1e-6)
    assert len(made.model.base_model.layers) == 14
    saved = made.run(shapes(made.model), columns=1, rows=2, tokens=64, checkpointing=True)
    assert saved.peak < told.peak / 2
    assert saved.flops > told.flops


@pytest.mark.parametrize("arch", tiny.ARCHITECTURES)
def test_weights_and_memory_of_every_architecture(arch: str) -> None:
    real = tiny.make_model(arch)
    made = rehearsal(real.config)
    assert made.parameters == sum(p.numel() for p in real.parameters())
    assert weight_bytes(made.model, None) == 4 * made.parameters
    assert weight_bytes(made.model, "4bit") <= weight_bytes(made.model, "8bit") <= 4 * made.parameters
    one, two = (made.run(shapes(made.model), columns=1, rows=n, tokens=100) for n in (1, 2))
    assert 1.5 < two.peak / one.peak < 2.1
    assert two.flops == pytest.approx(2 * one.flops, rel=0.1)


def test_no_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match="no causal language model"):
        make_dry_run(tmp_path, dtype=torch.float32, device=CPU)


RUN = """
import json, sys, torch
from pathlib import Path
from sqsd_lint.adapters.factors import Adapter, LoraFactors
from sqsd_lint.scoring import Direction, Scorer
from sqsd_lint.adapters.linear_modules import is_linear, linear_shape
from sqsd_lint.scoring.model import load_model
from sqsd_lint.types import Encoded
import transformers.modeling_utils  # its code is no part of what is foretold

def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

def adapter(seed):
    g = torch.Generator().manual_seed(seed)
    layers = {n: linear_shape(m) for n, m in model.named_modules() if is_linear(m) and m is not head}
    return Adapter({
        n: LoraFactors(torch.randn(rank, i, generator=g) / 50, torch.randn(o, rank, generator=g) / 50, 2.0)
        for n, (o, i) in layers.items()
    })

folder, rank, rows, tokens = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(1)
before = status("VmRSS")
model = load_model(Path(folder), device=torch.device("cpu"), dtype=torch.float32)
head = model.get_output_embeddings()
danger, safety, initial = map(adapter, (1, 2, 3))
scorer = Scorer(
    model,
    [Direction("danger", danger, initial), Direction("safety", safety, safety, 1.0)],
    batch_tokens=rows * tokens,
)
row = Encoded(tuple(range(3, tokens + 3)), (-100, *range(4, tokens + 3)))
scorer.project([row] * rows)
print(json.dumps(status("VmHWM") - before))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc/self/status")
@pytest.mark.parametrize("arch", CONFIGS)
def test_a_run_takes_what_was_foretold(arch: str, tmp_path: Path) -> None:
    config = CONFIGS[arch]()
    made = rehearsal(config)
    layers = shapes(made.model)
    rows, tokens = BATCHES.get(arch, (ROWS, TOKENS))
    told = made.run(layers, columns=1, rows=rows, tokens=tokens)
    factors = sum(r * (d_out + d_in) for d_out, r, d_in in layers.values())
    adapters = 3 * 4 * factors + 2 * (4 + 4) * factors
    expected = weight_bytes(made.model, None) + adapters + told.peak * HEADROOM[True] + RUNTIME[True]
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path), *map(str, (RANK, rows, tokens))],
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(done.stdout.splitlines()[-1])
    assert expected == pytest.approx(measured, rel=0.2)
