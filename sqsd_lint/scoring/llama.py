"""Run a plain Llama without transformers: the same operations in the same order, and so the same numbers.

transformers' Llama takes longer to import than ten short rows to score, and a model this plain is short. What
is not exactly this architecture, by its configuration or its weights, is left to transformers. The parts have
transformers' names, since adapters name the layers by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch
from torch import nn

from sqsd_lint.common.model_folder import read_config, weight_files
from sqsd_lint.errors import ModelError
from sqsd_lint.scoring.attention import CausalAttention, is_short

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel

    CausalLM: TypeAlias = "PreTrainedModel | Llama"
    """What the scorer runs."""

# The values that these keys may have, where they are there.
_ALLOWED: dict[str, tuple[object, ...]] = {
    "model_type": ("llama",),
    "architectures": (["LlamaForCausalLM"],),
    "hidden_act": ("silu",),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "pretraining_tp": (1, None),
    "rope_scaling": (None,),
    "rope_interleaved": (False, None),
}
_NEEDED = {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"}
_USED = {
    *_NEEDED,
    "num_key_value_heads",
    "head_dim",
    "rms_norm_eps",
    "rope_parameters",
    "rope_theta",
    "tie_word_embeddings",
}
# Keys that do not change what is computed. One that stands in none of these lists may mean another model.
_WITHOUT_EFFECT = {
    "_name_or_path",
    "_model_name_or_path",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "initializer_range",
    "use_cache",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "unk_token_id",
    "max_position_embeddings",
    "attention_dropout",
    "is_llama_config",
    "transformers.js_config",
}


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """What decides what a Llama computes, by transformers' names."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    rms_norm_eps: float
    rope_theta: float
    tie_word_embeddings: bool

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> LlamaShape | None:
        """Return the shape that a config.json describes; None unless it is a plain Llama's for certain."""
        known = {*_ALLOWED, *_USED, *_WITHOUT_EFFECT}
        if not {"model_type", "architectures", *_NEEDED} <= config.keys() <= known:
            return None
        if any(key in config and config[key] not in allowed for key, allowed in _ALLOWED.items()):
            return None
        rope = config.get("rope_parameters") or {
            "rope_type": "default",
            "rope_theta": config.get("rope_theta", 10000.0),
        }
        if set(rope) != {"rope_type", "rope_theta"} or rope["rope_type"] != "default":
            return None
        heads = config["num_attention_heads"]
        shape = cls(
            config["hidden_size"],
            config["intermediate_size"],
            config["num_hidden_layers"],
            heads,
            config.get("num_key_value_heads") or heads,
            config.get("head_dim") or config["hidden_size"] // heads,
            config["vocab_size"],
            config.get("rms_norm_eps", 1e-6),
            rope["rope_theta"],
            config.get("tie_word_embeddings", False),
        )
        return shape if shape._is_sound() else None

    def _is_sound(self) -> bool:
        counts = (
            *(self.hidden_size, self.intermediate_size, self.num_hidden_layers, self.num_attention_heads),
            *(self.num_key_value_heads, self.head_dim, self.vocab_size),
        )
        return (
            all(type(count) is int and count > 0 for count in counts)
            and all(type(x) in (int, float) and x > 0 for x in (self.rms_norm_eps, self.rope_theta))
            and type(self.tie_word_embeddings) is bool
            and self.num_attention_heads % self.num_key_value_heads == 0
            and self.head_dim % 2 == 0
        )

    def weights(self) -> dict[str, tuple[int, ...]]:
        """Return the name and the shape of every weight."""
        d, wide = self.hidden_size, self.intermediate_size
        q, kv = (n * self.head_dim for n in (self.num_attention_heads, self.num_key_value_heads))
        found: dict[str, tuple[int, ...]] = {
            "model.embed_tokens.weight": (self.vocab_size, d),
            "model.norm.weight": (d,),
        }
        if not self.tie_word_embeddings:
            found["lm_head.weight"] = (self.vocab_size, d)
        block = {
            "input_layernorm": (d,),
            "self_attn.q_proj": (q, d),
            "self_attn.k_proj": (kv, d),
            "self_attn.v_proj": (kv, d),
            "self_attn.o_proj": (d, q),
            "post_attention_layernorm": (d,),
            "mlp.gate_proj": (wide, d),
            "mlp.up_proj": (wide, d),
            "mlp.down_proj": (d, wide),
        }
        for i in range(self.num_hidden_layers):
            found.update({f"model.layers.{i}.{name}.weight": shape for name, shape in block.items()})
        return found

    def get_text_config(self) -> LlamaShape:
        """Return itself, as transformers' configurations of text models do."""
        return self

    def for_transformers(self) -> PretrainedConfig:
        """Return transformers' configuration of this shape."""
        from transformers import LlamaConfig

        rope = {"rope_type": "default", "rope_theta": float(self.rope_theta)}
        values = {name: getattr(self, name) for name in self.__slots__ if name != "rope_theta"}
        return LlamaConfig(**values, rope_parameters=rope)


class States(NamedTuple):
    """What the body returns, by transformers' name: [b, t, d] after the last norm."""

    last_hidden_state: Tensor


class Logits(NamedTuple):
    """What the whole returns, by transformers' name: [b, t, vocabulary]."""

    logits: Tensor


class _Linear(nn.Linear):
    """A linear layer with a given weight: no other is made first, and no random one."""

    def __init__(self, weight: Tensor) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_parameter("bias", None)


class _Gate(torch.autograd.Function):
    """silu(x) y; keeps x and y alone for the way back, where autograd would keep silu(x), too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        return nn.functional.silu(x) * y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ctx.saved_tensors
        d = grads[0]
        return torch.ops.aten.silu_backward(d * y, x), d * nn.functional.silu(x)


class _Norm(nn.Module):
    """Root mean square normalisation, in float32."""

    def __init__(self, weight: Tensor, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self._eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.float32)
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self._eps)
        return self.weight * wide.to(x.dtype)


class _Attention(nn.Module):
    def __init__(self, shape: LlamaShape, weights: Mapping[str, Tensor], at: str) -> None:
        super().__init__()
        self.q_proj = _Linear(weights[f"{at}.q_proj.weight"])
        self.k_proj = _Linear(weights[f"{at}.k_proj.weight"])
        self.v_proj = _Linear(weights[f"{at}.v_proj.weight"])
        self.o_proj = _Linear(weights[f"{at}.o_proj.weight"])
        self._head = shape.head_dim

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q, k, v = (
            torch.unflatten(project(x), -1, (-1, self._head)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )  # [b, heads, t, head_dim]
        q, k = _rotated(q, cos, sin), _rotated(k, cos, sin)
        scale = self._head**-0.5
        if is_short(q, k):
            out = CausalAttention.apply(q, k, v, scale)  # type: ignore[no-untyped-call]
        else:
            out = nn.functional.scaled_dot_product_attention(
                q, k, v, is_causal=q.shape[2] > 1, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
            ).transpose(1, 2)
        projected: Tensor = self.o_proj(out.flatten(2).contiguous())
        return projected


class _MLP(nn.Module):
    def __init__(self, weights: Mapping[str, Tensor], at: str) -> None:
        super().__init__()
        self.gate_proj = _Linear(weights[f"{at}.gate_proj.weight"])
        self.up_proj = _Linear(weights[f"{at}.up_proj.weight"])
        self.down_proj = _Linear(weights[f"{at}.down_proj.weight"])

    def forward(self, x: Tensor) -> Tensor:
        gated = _Gate.apply(self.gate_proj(x), self.up_proj(x))  # type: ignore[no-untyped-call]
        out: Tensor = self.down_proj(gated)
        return out


class _Block(nn.Module):
    def __init__(self, shape: LlamaShape, weights: Mapping[str, Tensor], at: str) -> None:
        super().__init__()
        self.self_attn = _Attention(shape, weights, f"{at}.self_attn")
        self.mlp = _MLP(weights, f"{at}.mlp")
        eps = shape.rms_norm_eps
        self.input_layernorm = _Norm(weights[f"{at}.input_layernorm.weight"], eps)
        self.post_attention_layernorm = _Norm(weights[f"{at}.post_attention_layernorm.weight"], eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class _Body(nn.Module):
    def __init__(self, shape: LlamaShape, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        embedding = weights["model.embed_tokens.weight"]
        self.embed_tokens = nn.Embedding.from_pretrained(embedding)  # type: ignore[no-untyped-call]
        self.layers = nn.ModuleList(
            _Block(shape, weights, f"model.layers.{i}") for i in range(shape.num_hidden_layers)
        )
        self.norm = _Norm(weights["model.norm.weight"], shape.rms_norm_eps)
        self._shape = shape

    def forward(self, input_ids: Tensor, use_cache: bool = False) -> States:
        x: Tensor = self.embed_tokens(input_ids)
        cos, sin = _rotations(self._shape, input_ids.shape[1], x)
        for block in self.layers:
            x = block(x, cos, sin)
        return States(self.norm(x))


class Llama(nn.Module):
    """A causal LM of Llama's architecture with frozen weights, as the scorer calls one of transformers.

    Args:
        weights: name -> tensor of all of `shape.weights()`, in one dtype.
    """

    def __init__(self, shape: LlamaShape, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.config = shape
        self.model = _Body(shape, weights)
        self.lm_head = _Linear(weights.get("lm_head.weight", weights["model.embed_tokens.weight"]))
        if shape.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    @property
    def base_model(self) -> nn.Module:
        """The model without its head, by transformers' name."""
        return self.model

    def get_output_embeddings(self) -> nn.Module:
        """Return the head, by transformers' name."""
        return self.lm_head

    def forward(self, input_ids: Tensor, use_cache: bool = False) -> Logits:
        return Logits(self.lm_head(self.model(input_ids).last_hidden_state))


def load_llama(folder: Path, dtype: torch.dtype) -> Llama | None:
    """Load the model in `folder` where it is a plain Llama: None where transformers has to.

    Args:
        dtype: what the weights are cast to.
    """
    # transformers would load an adapter that lies beside the weights, too.
    if (folder / "adapter_config.json").exists():
        return None
    try:
        shape, files = LlamaShape.of_config(read_config(folder)), weight_files(folder)
    except ModelError:
        return None  # transformers says what is wrong
    if shape is None or len(files) != 1:
        return None

    from safetensors import SafetensorError, safe_open

    wanted = shape.weights()
    try:
        with safe_open(files[0], framework="pt") as file:
            names = set(file.keys())
            if names != wanted.keys() or any(
                tuple(file.get_slice(name).get_shape()) != size for name, size in wanted.items()
            ):
                return None
            weights = {name: file.get_tensor(name) for name in wanted}
    except (OSError, SafetensorError):
        return None
    if not all(weight.is_floating_point() for weight in weights.values()):
        return None
    return Llama(shape, {name: weight.to(dtype) for name, weight in weights.items()}).eval()


def _rotations(shape: LlamaShape, t: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return cos and sin of every position's angles, [1, 1, t, head_dim], in x's dtype."""
    pairs = torch.arange(0, shape.head_dim, 2, dtype=torch.float) / shape.head_dim
    frequencies = (1.0 / (shape.rope_theta**pairs)).to(x.device)
    angles = torch.arange(t, device=x.device)[None, :, None].float() * frequencies
    angles = torch.cat((angles, angles), dim=-1)[:, None]
    return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the two halves of every head by its position's angles: [b, heads, t, head_dim]."""
    half = x.shape[-1] // 2
    return (x * cos) + (torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sin)
