"""Run a linear layer forward and backward at an expansion point.

    y = x W^T + b + s0 (x A0^T) B0^T

The backward pass hands on dl/dx alone, as for any frozen layer, and on the way gives the sink what it has in
hand anyway, of which every update is made (docs/method.md section 5): x, d = dl/dy, h = x A0^T and
u = s0 (d B0).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sqsd_lint.errors import ModelError
from sqsd_lint.scoring.linear import bias_of, replaced, weight_of

if TYPE_CHECKING:
    from torch import Tensor

    from sqsd_lint.scoring.directions import ExpansionPoint
    from sqsd_lint.scoring.projections import Layer, Sink

# One of several experts that a router sends tokens to, by its name or its class.
_EXPERT = re.compile("expert", re.IGNORECASE)
_SHARED = re.compile("shared", re.IGNORECASE)  # one that every token passes, in the batch's order


class _ExpandedLinear(torch.autograd.Function):
    """As the module describes. `anchor` makes autograd record layers whose input needs no gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,  # [b, t, d_in]
        anchor: Tensor,
        module: nn.Module,
        name: str,
        layer: Layer,
        sink: Sink,
    ) -> Tensor:
        h = x @ layer.A0.T  # [b, t, r]
        ctx.save_for_backward(x, h)
        ctx.module, ctx.name, ctx.layer, ctx.sink = module, name, layer, sink
        return _forward(module, x, h, layer)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (d,) = grads  # [b, t, d_out]
        x, h = ctx.saved_tensors
        layer: Layer = ctx.layer
        u = layer.scaling * nn.functional.linear(d, layer.B0T)  # [b, t, r]
        ctx.sink.take(ctx.name, layer, x, h, d, u)
        if not ctx.needs_input_grad[0]:
            return None, None, None, None, None, None
        dx = d @ weight_of(ctx.module, d.dtype)
        dx.flatten(0, 1).addmm_(u.flatten(0, 1), layer.A0)
        return dx, None, None, None, None, None


def _forward(module: nn.Module, x: Tensor, h: Tensor, layer: Layer) -> Tensor:
    y = nn.functional.linear(x, weight_of(module, x.dtype), bias_of(module))
    y.flatten(0, -2).addmm_(h.flatten(0, -2), layer.B0T, alpha=layer.scaling)
    return y


class Running:
    """The shape (b, t) of the batch that is on its way through the model."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()

    def enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Record the batch's shape, as a forward pre-hook of the model's body."""
        ids = kwargs.get("input_ids", args[0] if args else None)
        self.shape = () if ids is None else tuple(ids.shape)

    def is_flat(self, x: Tensor) -> bool:
        """Return whether x is [b * t, features], as the whole batch is, token after token."""
        whole = len(self.shape) == 2 and len(x) == self.shape[0] * self.shape[1]
        return x.dim() == 2 and whole


def is_routed(name: str, modules: Mapping[str, nn.Module]) -> bool:
    """Return whether a module is part of a routed expert, which gets its tokens in an order of its own.

    Args:
        modules: all of the model, by name.
    """
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        known = f"{parts[end - 1]} {type(modules.get('.'.join(parts[:end]))).__name__}"
        if _EXPERT.search(known):
            return not _SHARED.search(known)
    return False


def _scored_forward(
    module: nn.Module,
    name: str,
    layer: Layer,
    sink: Sink,
    anchor: Tensor,
    running: Running,
    routed: bool,
    x: Tensor,
) -> Tensor:
    flat = running.is_flat(x) and not routed  # an expert may get as many tokens as the batch has
    if x.dim() != 3 and not flat:
        raise ModelError(
            f"layer {name!r} gets an input of shape {tuple(x.shape)}, expected [batch, tokens, features]",
            hint="this architecture mixes the tokens of several rows; leave the layer out of `modules`",
        )
    out: Tensor = _ExpandedLinear.apply(  # type: ignore[no-untyped-call]
        x.reshape(*running.shape, -1) if flat else x, anchor, module, name, layer, sink
    )
    return out.flatten(0, 1) if flat else out


def _plain_forward(module: nn.Module, layer: Layer, x: Tensor) -> Tensor:
    """Leave the backward to autograd: for layers that the expansion point changes but no direction scores."""
    y = nn.functional.linear(x, weight_of(module, x.dtype), bias_of(module))
    return y + (x @ layer.A0.T) @ (layer.scaling * layer.B0T)


@contextmanager
def expanded(model: nn.Module, point: ExpansionPoint, sink: Sink) -> Iterator[None]:
    """Run `model` at an expansion point inside the block; gradients flow to `sink` in the backward pass."""
    modules = dict(model.named_modules())
    parameter = next(model.parameters())
    anchor = torch.zeros((), device=parameter.device, requires_grad=True)
    running = Running()

    def forward_of(name: str, layer: Layer) -> Callable[[Tensor], Tensor]:
        module = modules[name]
        if not layer.scored:
            return partial(_plain_forward, module, layer)
        routed = is_routed(name, modules)
        return partial(_scored_forward, module, name, layer, sink, anchor, running, routed)

    body: Any = getattr(model, "base_model", model)
    handle = body.register_forward_pre_hook(running.enter, with_kwargs=True)
    try:
        with replaced((modules[name], forward_of(name, layer)) for name, layer in point.layers.items()):
            yield
    finally:
        handle.remove()
