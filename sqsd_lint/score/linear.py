"""What counts as a linear layer, and how to multiply with its weight whichever way it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

if TYPE_CHECKING:
    from torch import Tensor


def is_linear(module: nn.Module) -> bool:
    """nn.Linear or GPT-2's Conv1D, subclasses included."""
    return isinstance(module, (nn.Linear, Conv1D))


def weight_of(module: nn.Module) -> Tensor:
    """The weight as [d_out, d_in], a view: Conv1D stores its transpose."""
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    return weight.t() if isinstance(module, Conv1D) else weight


def linear_shape(module: nn.Module) -> tuple[int, int]:
    """(d_out, d_in) of a linear layer."""
    d_out, d_in = weight_of(module).shape
    return d_out, d_in
