"""Load base models whose linear layers bitsandbytes packs in 4 or 8 bits, and unpack their weights.

The weights are frozen, so nothing but a product with them is ever wanted: each layer is unpacked for the
moment of its product, forward and backward, and gradients flow through to the adapters.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sqsd_lint.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


def quantization_config(bits: str, dtype: torch.dtype) -> Any:
    """Return the quantization_config of `from_pretrained`.

    Args:
        bits: "4bit" (NF4) or "8bit" (LLM.int8).
        dtype: of the activations.

    Raises:
        ModelError: bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise ModelError(
            f"--quantize {bits}: bitsandbytes is not installed",
            hint='`pip install "sqsd-lint[quantized]"`',
        )
    import transformers

    make: Any = transformers.BitsAndBytesConfig

    if bits == "8bit":
        return make(load_in_8bit=True)
    return make(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def silence_bitsandbytes() -> None:
    """Keep bitsandbytes, which transformers imports if it is there, from telling what kernels it lacks."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def keep_layout(model: nn.Module) -> None:
    """Have a CPU leave 4-bit weights as they are: it would else pack them anew in its first forward pass."""
    module: Any
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def is_packed(module: nn.Module) -> bool:
    """Return whether bitsandbytes packs the module's weight."""
    return type(getattr(module, "weight", None)).__name__ in ("Params4bit", "Int8Params")


def unpacked(module: nn.Module, dtype: torch.dtype) -> Tensor:
    """Unpack the weight: [d_out, d_in] in `dtype`."""
    weight: Any = module.weight
    if type(weight).__name__ == "Params4bit":
        from bitsandbytes.functional import dequantize_4bit

        dense: Tensor = dequantize_4bit(weight.data, weight.quant_state)
        return dense.to(dtype)
    # A first forward pass moves both from the weight to the module's state.
    state: Any = module.state
    codes = weight.CB if weight.CB is not None else state.CB
    scales = weight.SCB if weight.SCB is not None else state.SCB
    wide: Tensor = codes.to(dtype) * (scales[:, None] / 127).to(dtype)
    return wide
