"""Apply a base adapter over weights it cannot be merged into: packed ones, or offloaded ones.

    y = (x W^T + b) + s (x A^T) B^T

as QLoRA does. The second term is added to what the layer's own forward gives, whatever that is just now: the
layer's, accelerate's or that of an expansion point. So autograd hands its part of dl/dx on by itself, and the
layer's update is measured at the sum, which is its output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sqsd_lint.errors import ModelError
from sqsd_lint.scoring.linear import device_of, weight_of
from sqsd_lint.scoring.quantized import is_packed

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from sqsd_lint.adapters.factors import Adapter, LoraFactors


class Beside:
    """A forward hook that adds an adapter's product to a layer's output.

    Args:
        factors: of the layer.
        device, dtype: of the layer's output.
    """

    def __init__(self, factors: LoraFactors, device: torch.device, dtype: torch.dtype) -> None:
        self._A = factors.A.to(device, dtype)  # [r, d_in]
        self._B = (factors.scaling * factors.B).to(device, dtype)  # [d_out, r]

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], y: Tensor) -> Tensor:
        # A hook sees the input as the caller has it, perhaps on another device.
        x = inputs[0].to(y)
        return y + nn.functional.linear(nn.functional.linear(x, self._A), self._B)


@torch.no_grad()
def attach(model: PreTrainedModel, adapter: Adapter, dtype: torch.dtype) -> None:
    """Have every layer of the adapter run with it: merged where its weight is plain and at hand, else beside.

    Args:
        dtype: of the activations.

    Raises:
        ModelError: the output head has a part in the adapter, and its weights are packed or put away.
    """
    modules = dict(model.named_modules())
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    for name, f in adapter.factors.items():
        module = modules[name]
        if not is_packed(module) and module.weight.device.type != "meta":
            weight = weight_of(module)
            # Rounded once: as if it had been merged before the weights were cast.
            wide = weight.float()
            weight.copy_(wide.addmm_(f.B.to(wide), f.A.to(wide), alpha=f.scaling))
        elif module is head:  # its gradient is taken of the weight itself (`head`)
            raise ModelError(
                f"the bundle's base adapter changes the output head {name!r}, which does not lie in memory",
                hint="leave out --device-map, or save the merged model and build a bundle for it",
            )
        else:
            module.register_forward_hook(Beside(f, device_of(module), dtype))
