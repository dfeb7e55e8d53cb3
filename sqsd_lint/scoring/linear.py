"""Recognise linear layers, and multiply with their weights whichever way they are stored.

Running modules with another forward for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from sqsd_lint.scoring.quantized import is_packed, unpacked

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
    return weight.t() if isinstance(module, Conv1D) else weight


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
