"""Measure how far a model in memory has drifted since the start of its training.

Its LoRA factors are read, or the weights of its linear layers, as `run` and `full` read them of checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from sqsd_lint.adapters.linear_modules import is_linear
from sqsd_lint.adapters.registry import PREFIX, kind_of
from sqsd_lint.drift.directions import WeightDirections, ratio
from sqsd_lint.drift.displacement import minus, project
from sqsd_lint.drift.lowrank import LowRank
from sqsd_lint.errors import AdapterError
from sqsd_lint.scoring.linear import weight_of

if TYPE_CHECKING:
    from torch import Tensor, nn


# Elements of a weight that are held in float64 at once: 64 MiB.
_BLOCK = 1 << 23
_OTHER_MODEL = "use the bundle of the model that is trained"


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside DistributedDataParallel, torch.compile and their like."""
    while True:
        inner: Any = getattr(model, "_orig_mod", None) or getattr(model, "module", None)
        if not isinstance(inner, torch.nn.Module):
            return model
        model = inner


def adapter_state(model: nn.Module, *, started: bool = True) -> dict[str, LowRank]:
    """Read scaling * B @ A of the active adapters by the bare model's module names, in float64 on the CPU.

    Empty if the model has no adapter. Embeddings with an adapter are left out: no direction has them.

    Args:
        started: whether the state at the start is known and will be subtracted.

    Raises:
        AdapterError: the adapter's kind has no such state, or its factors are sharded over processes.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    configs = _configs(model)
    found: dict[str, LowRank] = {}
    for path, layer in model.named_modules():
        if not isinstance(layer, BaseTunerLayer):
            continue
        module: Any = layer
        name = path.removeprefix(PREFIX)
        for adapter in layer.active_adapters:
            config = configs.get(adapter, {})
            kind = kind_of(config, name)
            kind.check_use("a run's state", name, config, start=started)
            factors = kind.layer_factors(module, adapter, config)
            if factors is None:
                continue
            A, B, scaling = factors
            up, down = (factor.detach().to("cpu", torch.float64, copy=True) for factor in (B, A))
            if up.dim() != 2 or down.dim() != 2 or up.shape[1] != down.shape[0]:
                raise AdapterError(
                    f"{name}: the LoRA factors have shapes {tuple(up.shape)} and {tuple(down.shape)}",
                    hint="factors that are sharded over processes (ZeRO-3, FSDP) cannot be read while"
                    " training; use `sqsd-lint drift` on the checkpoints",
                )
            moved = LowRank(scaling * up, down)
            found[name] = found[name] + moved if name in found else moved
    return found


def _configs(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Return the configurations of a model's adapters, which a wrapper may hide, as in their files."""
    found: dict[str, dict[str, Any]] = {}
    for module in model.modules():
        held: Any = getattr(module, "peft_config", None)
        if isinstance(held, dict):
            for name, config in held.items():
                fields = config if isinstance(config, dict) else config.to_dict()
                kind = fields["peft_type"]
                found[name] = {**fields, "peft_type": getattr(kind, "value", kind)}
    return found


def weight_dots(model: nn.Module, directions: WeightDirections) -> dict[str, tuple[float, float]]:
    """Return <W, V> of every layer's weight with danger and safety, a block of rows at a time in float64.

    The displacement's inner products follow from two such readings: <W_t - W_0, V> = <W_t, V> - <W_0, V>.

    Raises:
        AdapterError: the model lacks a layer, or it has another shape than in the bundle.
    """
    modules = dict(model.named_modules())
    found = {}
    for name in directions.modules:
        layer = modules.get(name)
        if layer is None or not is_linear(layer):
            raise AdapterError(f"the model has no linear layer {name!r}", hint=_OTHER_MODEL)
        weight = weight_of(layer).detach()
        along = directions.danger.layers.get(name), directions.safety.layers.get(name)
        shape = next(v.shape for v in along if v)
        if tuple(weight.shape) != shape:
            raise AdapterError(
                f"{name} has the shape {tuple(weight.shape)}, {shape} in the bundle",
                hint=f"{_OTHER_MODEL}; weights that are sharded over processes (ZeRO-3, FSDP) cannot be read",
            )
        danger, safety = (_dot(v, weight) if v else 0.0 for v in along)
        found[name] = danger, safety
    return found


def _dot(v: LowRank, weight: Tensor) -> float:
    # Not every accelerator has float64; CUDA does.
    device = weight.device if weight.device.type == "cuda" else torch.device("cpu")
    up, down = v.up.to(device), v.down.to(device)
    rows = max(1, _BLOCK // weight.shape[1])
    return math.fsum(
        LowRank(up[at : at + rows], down).dot_dense(weight[at : at + rows].to(device).double())
        for at in range(0, weight.shape[0], rows)
    )


@dataclass(frozen=True, slots=True)
class ModelDrift:
    """The displacement from the start, measured as in `displacement`.

    Attributes:
        danger, safety: headline projections, lengths in the unit of the weights.
        layers: both by module, <D_m, V_m> / ||V_m||; NaN where a direction lacks the layer.
        norm, danger_cosine, safety_cosine: NaN for full weights, whose start is not kept, and cosines also
            where nothing has moved.
    """

    danger: float
    safety: float
    layers: Mapping[str, tuple[float, float]]
    norm: float = math.nan
    danger_cosine: float = math.nan
    safety_cosine: float = math.nan

    @property
    def difference(self) -> float:
        return self.danger - self.safety


class LoraDriftReader:
    """Measure a model's LoRA factors; those of the start are kept.

    Args:
        start: scaling * B @ A by module, from where displacements are measured; empty is the base.
    """

    def __init__(self, directions: WeightDirections, start: Mapping[str, LowRank]) -> None:
        self._directions = directions
        self._start = start

    def read(self, model: nn.Module) -> ModelDrift:
        """Return the model's drift.

        Raises:
            AdapterError: the adapter fits no layer of the bundle, or another model's.
        """
        state = adapter_state(unwrap(model))
        if state.keys().isdisjoint(self._directions.modules):
            raise AdapterError(
                f"the bundle has none of the adapter's {len(state)} modules",
                hint="use the bundle of the model that is trained",
            )
        drift = project(self._directions, minus(state, self._start))
        return ModelDrift(
            drift.danger.projection,
            drift.safety.projection,
            {layer.module: (layer.danger, layer.safety) for layer in drift.layers},
            drift.norm,
            drift.danger.cosine,
            drift.safety.cosine,
        )


class WeightDriftReader:
    """Measure full weights; of the start two numbers a layer are kept, and no copy."""

    def __init__(self, directions: WeightDirections, model: nn.Module) -> None:
        self._directions = directions
        self._start = weight_dots(unwrap(model), directions)

    def read(self, model: nn.Module) -> ModelDrift:
        """Return the model's drift.

        Raises:
            AdapterError: the model lacks a layer of the bundle.
        """
        now = weight_dots(unwrap(model), self._directions)
        dots = {n: (d - self._start[n][0], s - self._start[n][1]) for n, (d, s) in now.items()}
        danger, safety = self._directions.danger, self._directions.safety
        return ModelDrift(
            ratio(math.fsum(d for d, _ in dots.values()), danger.norm),
            ratio(math.fsum(s for _, s in dots.values()), safety.norm),
            {
                name: (ratio(d, danger.norms.get(name, 0.0)), ratio(s, safety.norms.get(name, 0.0)))
                for name, (d, s) in dots.items()
            },
        )
