"""Put a bundle's layers where the model's are, if the model is spread over several devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import torch

from sqsd_lint.scoring.linear import device_of

if TYPE_CHECKING:
    from torch import nn

    from sqsd_lint.scoring.directions import ExpansionPoint


def placed(points: Sequence[ExpansionPoint], model: nn.Module) -> None:
    """Move each layer of the points to the device where its module computes, in place."""
    modules = dict(model.named_modules())
    for point in points:
        layers: dict[str, Any] = point.layers
        for name, layer in layers.items():
            device = device_of(modules[name])
            if layer.A0.device != device:
                layers[name] = replace(
                    layer, **{f.name: _moved(getattr(layer, f.name), device) for f in fields(layer)}
                )


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    return tuple(_moved(each, device) for each in value) if isinstance(value, tuple) else value
