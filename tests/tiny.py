"""Tiny random causal language models and LoRA adapters, made offline and small enough for a float64 oracle.

Weights are drawn with unit gain and not with the usual initialiser: at a standard deviation of 0.02 every
attention row is nearly uniform, and a fault in masks, positions or scaling would hide in the rounding.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer

VOCAB = 307
"""A prime, so that no other size in these models equals it."""

_ROPE = {
    "vocab_size": VOCAB,
    "hidden_size": 40,
    "intermediate_size": 71,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def _llama(**sizes: Any) -> Any:
    return transformers.LlamaConfig(**{**_ROPE, **sizes})


def _qwen2(**sizes: Any) -> Any:
    return transformers.Qwen2Config(**{**_ROPE, **sizes})


def _qwen3(**sizes: Any) -> Any:
    return transformers.Qwen3Config(**{**_ROPE, "head_dim": 12, **sizes})


def _mistral(**sizes: Any) -> Any:
    return transformers.MistralConfig(**{**_ROPE, "sliding_window": 8, **sizes})


def _phi3(**sizes: Any) -> Any:
    return transformers.Phi3Config(**{**_ROPE, **sizes})


def _gemma2(**sizes: Any) -> Any:
    # Both caps are far below the values that these weights give, so that they bend them.
    extra = {
        "head_dim": 12,
        "sliding_window": 8,
        "query_pre_attn_scalar": 12,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 3.0,
    }
    return transformers.Gemma2Config(**{**_ROPE, **extra, **sizes})


def _gemma3(**sizes: Any) -> Any:
    extra = {
        "head_dim": 12,
        "sliding_window": 8,
        "query_pre_attn_scalar": 12,
        "num_hidden_layers": 3,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    }
    return transformers.Gemma3TextConfig(**{**_ROPE, **extra, **sizes})


def _granite(**sizes: Any) -> Any:
    extra = {
        "embedding_multiplier": 2.0,
        "attention_multiplier": 0.4,
        "residual_multiplier": 0.6,
        "logits_scaling": 1.7,
    }
    return transformers.GraniteConfig(**{**_ROPE, **extra, **sizes})


def _gpt2(**sizes: Any) -> Any:
    return transformers.GPT2Config(
        vocab_size=sizes.get("vocab_size", VOCAB),
        n_positions=256,
        n_embd=sizes.get("hidden_size", 40),
        n_inner=sizes.get("intermediate_size", 71),
        n_layer=2,
        n_head=4,
        bos_token_id=1,
        eos_token_id=2,
    )


_CONFIGS: dict[str, Callable[..., Any]] = {
    "llama": _llama,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "gemma3": _gemma3,
    "mistral": _mistral,
    "phi3": _phi3,
    "gpt2": _gpt2,
    "gemma2": _gemma2,
    "granite": _granite,
}
ARCHITECTURES = tuple(_CONFIGS)


def make_model(
    arch: str = "llama",
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    attention: str | None = None,
    **sizes: Any,
) -> Any:
    """A random model of `arch` in eval mode; the same seed gives the same float32 weights in any dtype.

    Args:
        arch: one of ARCHITECTURES.
        attention: transformers' attn_implementation; None is the architecture's own default.
        sizes: overrides of the configuration (vocab_size, hidden_size, intermediate_size, ...).
    """
    config = _CONFIGS[arch](**sizes)
    model = transformers.AutoModelForCausalLM.from_config(
        config, attn_implementation=attention, dtype=torch.float32
    )
    conv1d = {id(m.weight) for m in model.modules() if isinstance(m, transformers.pytorch_utils.Conv1D)}
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() < 2:  # norm weights and biases: around what they are, but not equal
                parameter.add_(0.2 * noise)
            elif id(parameter) in embeddings:  # small: a tied head would otherwise saturate the softmax
                parameter.copy_(0.3 * noise)
            else:
                fan_in = parameter.shape[0] if id(parameter) in conv1d else parameter.shape[1]
                parameter.copy_(1.3 * noise / fan_in**0.5)
    return model.to(dtype).eval()


def save_model(
    folder: Path, tokenizer: Any = None, *, arch: str = "llama", seed: int = 0, **sizes: Any
) -> Path:
    """A model folder as the Hub has them, the vocabulary grown to the tokenizer's size where one is given."""
    if tokenizer is not None:
        sizes.setdefault("vocab_size", len(tokenizer))
        tokenizer.save_pretrained(folder)
    make_model(arch, seed=seed, **sizes).save_pretrained(folder)
    return folder


def linear_names(model: Any) -> list[str]:
    """Names of the linear layers that a score sums over: all but the output head."""
    kinds = (torch.nn.Linear, transformers.pytorch_utils.Conv1D)
    head = model.get_output_embeddings()
    return [
        name for name, module in model.named_modules() if isinstance(module, kinds) and module is not head
    ]


def save_adapter(
    folder: Path,
    *,
    arch: str = "llama",
    seed: int = 1,
    r: int = 3,
    alpha: float = 6,
    targets: str | Sequence[str] = "all-linear",
    fresh: bool = False,
    zero: str | None = None,
    sizes: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    """A random LoRA adapter that PEFT itself made and saved, with A and B both non-zero.

    Args:
        fresh: keep B at zero, as PEFT initialises it.
        zero: a regular expression; in the modules whose name it finds, A and B are zero.
        sizes: the sizes given to `make_model`.
        options: further LoraConfig fields (rank_pattern, alpha_pattern, use_rslora, bias, ...).
    """
    fields: dict[str, Any] = {
        "r": r,
        "lora_alpha": alpha,
        "target_modules": targets if isinstance(targets, str) else list(targets),
        "lora_dropout": 0.1,  # must not matter: nothing here trains
        "fan_in_fan_out": arch == "gpt2",
        "task_type": "CAUSAL_LM",
        **options,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = get_peft_model(make_model(arch, **(sizes or {})), LoraConfig(**fields))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, layer in model.named_modules():
                if not isinstance(layer, LoraLayer):
                    continue
                dead = zero is not None and re.search(zero, name) is not None
                pairs: Any = ((layer.lora_A, dead), (layer.lora_B, dead or fresh))
                for factors, empty in pairs:
                    for linear in factors.values():
                        # At this size scaling * B A is comparable with W, so that a wrong scaling shows.
                        noise = torch.randn(linear.weight.shape, generator=generator)
                        size = 0.0 if empty else 0.8 / linear.weight.shape[1] ** 0.5
                        linear.weight.copy_(size * noise)
        model.save_pretrained(str(folder), save_embedding_layers=False)
    return folder


def save_non_lora_adapter(folder: Path, *, arch: str = "llama") -> Path:
    """An (IA)^3 adapter: PEFT, but not LoRA."""
    config = peft.IA3Config(
        target_modules=["k_proj", "v_proj", "down_proj"],
        feedforward_modules=["down_proj"],
        task_type="CAUSAL_LM",
    )
    get_peft_model(make_model(arch), config).save_pretrained(str(folder), save_embedding_layers=False)
    return folder


def random_sample(
    seed: int, *, prompt: int = 9, response: int = 7, vocab: int = VOCAB
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(ids, labels) of `prompt` masked tokens and `response` counted ones; id 0 is left to padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, vocab, (prompt + response,), generator=generator).tolist()
    return tuple(ids), tuple([-100] * prompt + ids[prompt:])
