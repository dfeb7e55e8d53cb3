"""How much memory the scorer asks for a token, for its automatic batch size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqsd_lint.score.batching import free_bytes, most_tokens

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

# What the process holds for a byte of live tensors. A CPU's allocator keeps holes between blocks that come
# and go (1.1 to 1.5 on five architectures of 5 to 40 million parameters, most where a model is deep and
# narrow); CUDA's caching allocator rounds blocks up.
HEADROOM = {True: 1.3, False: 1.1}
# What the first pass brings with it on a CPU, whatever its size: code, and scratch space of the products.
RUNTIME = {True: 100_000_000, False: 0}
# Tokens of the row that stands for others where bytes per token are asked for.
_SAMPLE = 512


def activation_bytes(model: PreTrainedModel, layers: Mapping[str, Any], device: torch.device) -> int:
    """Activations per token that a pass takes, in bytes.

    A rehearsal (`memory`) costs seconds, so it is held only where a generous guess does not fit anyway.

    Args:
        layers: of an expansion point, by module name.
    """
    dtype = next(model.parameters()).dtype
    guess = _guess(model.config, dtype.itemsize)
    if guess * most_tokens(device) <= free_bytes(device) // 2:
        return guess
    from sqsd_lint.score.memory import Rehearsal

    shapes = {n: (x.B0T.shape[1], x.A0.shape[0], x.A0.shape[1]) for n, x in layers.items()}
    try:
        rehearsal = Rehearsal(model.config, dtype=dtype, device=device)
        taken = rehearsal.run(shapes, columns=2, rows=1, tokens=_SAMPLE).peak
    except (RuntimeError, ValueError):  # it decides by values what it computes, or is not transformers' own
        return guess
    return round(taken * HEADROOM[device.type == "cpu"] / _SAMPLE)


def _guess(config: PretrainedConfig, width: int) -> int:
    """A generous guess at the activations per token, in bytes."""
    text = config.get_text_config()
    hidden = int(text.hidden_size)
    wide = int(getattr(text, "intermediate_size", None) or 4 * hidden)
    routed = int(getattr(text, "num_experts_per_tok", None) or 1)
    return int(text.num_hidden_layers) * (24 * hidden + 8 * wide * routed) * width
