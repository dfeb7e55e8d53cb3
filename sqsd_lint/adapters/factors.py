"""The low-rank factors of an adapter of any kind, keyed by the module names of the bare model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqsd_lint.adapters.peft_folder import inspect_adapter
from sqsd_lint.adapters.registry import LoraFactors, Use
from sqsd_lint.errors import AdapterError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Adapter", "LoraFactors", "check_shapes", "load_adapter"]


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """All factors of an adapter by module name ("model.layers.0.self_attn.q_proj")."""

    factors: Mapping[str, LoraFactors]


def load_adapter(
    folder: str | Path,
    model: nn.Module | None = None,
    use: Use = "a part of a bundle",
    *,
    start: Path | None = None,
) -> Adapter:
    """Read an adapter as PEFT saves it.

    Args:
        folder: holds adapter_config.json and adapter_model.safetensors.
        model: if given, module names and shapes are checked against it, and routers of experts left out.
        use: what the adapter is read for.
        start: the adapter that was saved before the training, if it is known; it is not subtracted.

    Raises:
        AdapterError: see `inspect_adapter`; a factor is not finite; a module is not the model's.
    """
    folder = Path(folder)
    info = inspect_adapter(folder, use, start=start)
    factors = info.kind.factors(info.source, info.source.load())
    for module, f in factors.items():
        if not bool(f.A.isfinite().all() and f.B.isfinite().all()):
            raise AdapterError(f"{folder}: {module} holds NaN or infinity", hint="the training has diverged")
    if model is not None:
        from sqsd_lint.adapters.linear_modules import is_router

        modules = dict(model.named_modules())
        factors = {name: f for name, f in factors.items() if not is_router(modules.get(name))}
    adapter = Adapter(factors)
    if model is not None:
        check_shapes(adapter, model, folder)
    return adapter


def check_shapes(adapter: Adapter, model: nn.Module, name: str | Path) -> None:
    """Raise AdapterError unless every module of the adapter is a linear layer of that shape in `model`."""
    from sqsd_lint.adapters.linear_modules import is_linear, linear_shape

    modules = dict(model.named_modules())
    for module, f in adapter.factors.items():
        layer = modules.get(module)
        if layer is None or not is_linear(layer):
            raise AdapterError(
                f"{name}: the model has no linear layer {module!r}",
                hint="the adapter belongs to another base model",
            )
        d_out, d_in = linear_shape(layer)
        if f.A.shape[1] != d_in or f.B.shape[0] != d_out:
            raise AdapterError(
                f"{name}: {module!r} is {d_out} x {d_in} in the model,"
                f" {f.B.shape[0]} x {f.A.shape[1]} in the adapter",
                hint="the adapter belongs to another base model",
            )
