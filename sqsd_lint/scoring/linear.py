"""Recognise linear layers, and multiply with their weights whichever way they are stored.

Modules run with another forward for a while.

bitsandbytes packs linear layers in 4 or 8 bits. The weights are frozen, so nothing but a product with them is
ever wanted: each layer is unpacked for the moment of its product, forward and backward, and gradients flow
through to the adapters.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sqsd_lint.adapters.linear_modules import is_conv1d
from sqsd_lint.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def replaced(forwards: Iterable[tuple[nn.Module, Callable[..., Any]]]) -> Iterator[None]:
    """Give each module its forward inside the block, and the one that it had after it."""
    before: list[tuple[nn.Module, Any]] = []
    try:
        for module, forward in forwards:
            before.append((module, module.__dict__.get("forward")))
            module.forward = forward
        yield
    finally:
        for module, own in before:
            if own is None:
                module.__dict__.pop("forward", None)  # the class's own method shows again
            else:  # accelerate's, of a model that is spread over devices
                module.forward = own


def weight_of(module: nn.Module, dtype: torch.dtype | None = None) -> Tensor:
    """Return the weight as [d_out, d_in]: a view (Conv1D stores its transpose), or unpacked, or fetched.

    Args:
        dtype: what a packed weight is unpacked to; None stands for float32. Others are as they are.
    """
    if is_packed(module):
        return unpacked(module, dtype or torch.float32)
    weight = _at_hand(module, "weight")
    assert weight is not None
    return weight.t() if is_conv1d(module) else weight


def bias_of(module: nn.Module) -> Tensor | None:
    """Return the bias [d_out], if the layer has one."""
    return _at_hand(module, "bias")


def device_of(module: nn.Module) -> torch.device:
    """Return the device that the module computes on, whether or not its weights lie there."""
    where = next(module.parameters()).device
    if where.type != "meta":
        return where
    for each in module.modules():  # accelerate's hook of the whole names no device, those of its parts do
        device = getattr(getattr(each, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return torch.device(device)
    return where


def _at_hand(module: nn.Module, name: str) -> Tensor | None:
    """Return a parameter on the device that its module computes on; accelerate keeps offloaded ones apart."""
    value = getattr(module, name)
    assert value is None or isinstance(value, torch.Tensor)
    if value is None or value.device.type != "meta":
        return value
    hook: Any = getattr(module, "_hf_hook", None)
    if getattr(hook, "weights_map", None) is None:  # a shape without a weight
        return value
    kept: Tensor = hook.weights_map[name]
    return kept.to(hook.execution_device)


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
