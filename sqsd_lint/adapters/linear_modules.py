"""What counts as a linear layer of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from transformers.pytorch_utils import Conv1D

if TYPE_CHECKING:
    pass


def is_linear(module: nn.Module) -> bool:
    """nn.Linear or GPT-2's Conv1D, subclasses included."""
    return isinstance(module, (nn.Linear, Conv1D))


def is_router(module: nn.Module | None) -> bool:
    """Return a bare matrix, as transformers keeps what chooses among experts."""
    weight = getattr(module, "weight", None)
    linear = module is None or is_linear(module) or isinstance(module, nn.Embedding)
    return not linear and isinstance(weight, nn.Parameter) and weight.dim() == 2


def linear_shape(module: nn.Module) -> tuple[int, int]:
    """(d_out, d_in) of a linear layer."""
    if isinstance(module, nn.Linear):
        return module.out_features, module.in_features
    assert isinstance(module, Conv1D)
    d_in, d_out = module.weight.shape  # Conv1D keeps the transpose
    return d_out, d_in
