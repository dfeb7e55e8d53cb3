"""What counts as a linear layer of a model."""

from __future__ import annotations

import sys

from torch import nn


def is_linear(module: nn.Module | None) -> bool:
    """Return whether the module is an nn.Linear or GPT-2's Conv1D, subclasses included."""
    return isinstance(module, nn.Linear) or is_conv1d(module)


def is_conv1d(module: nn.Module | None) -> bool:
    """Return whether the module is transformers' Conv1D, which keeps the transpose of its weight."""
    # transformers takes seconds to import, and a class that nobody has imported has no instances.
    known = sys.modules.get("transformers.pytorch_utils")
    return known is not None and isinstance(module, known.Conv1D)


def is_router(module: nn.Module | None) -> bool:
    """Return a bare matrix, as transformers keeps what chooses among experts."""
    weight = getattr(module, "weight", None)
    linear = module is None or is_linear(module) or isinstance(module, nn.Embedding)
    return not linear and isinstance(weight, nn.Parameter) and weight.dim() == 2


def linear_shape(module: nn.Module) -> tuple[int, int]:
    """Return (d_out, d_in) of a linear layer."""
    if isinstance(module, nn.Linear):
        return module.out_features, module.in_features
    assert isinstance(module.weight, nn.Parameter)
    d_in, d_out = module.weight.shape
    return d_out, d_in
