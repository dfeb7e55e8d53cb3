"""Gauges: read a model in training, and say how far it has drifted since the start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqsd_lint.drift.axes import Axes, ratio
from sqsd_lint.drift.displacement import minus, project
from sqsd_lint.drift.live import lora_state, unwrap, weight_dots
from sqsd_lint.drift.lowrank import LowRank
from sqsd_lint.errors import AdapterError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Reading:
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


class LoraGauge:
    """Reads LoRA factors; keeps those of the start.

    Args:
        start: scaling * B @ A by module, from where displacements are measured; empty is the base.
    """

    def __init__(self, axes: Axes, start: Mapping[str, LowRank]) -> None:
        self._axes = axes
        self._start = start

    def read(self, model: nn.Module) -> Reading:
        """Raises AdapterError if the adapter fits no layer of the bundle, or another model's."""
        state = lora_state(unwrap(model))
        if state.keys().isdisjoint(self._axes.modules):
            raise AdapterError(
                f"the bundle has none of the adapter's {len(state)} modules",
                hint="use the bundle of the model that is trained",
            )
        drift = project(self._axes, minus(state, self._start))
        return Reading(
            drift.danger.projection,
            drift.safety.projection,
            {layer.module: (layer.danger, layer.safety) for layer in drift.layers},
            drift.norm,
            drift.danger.cosine,
            drift.safety.cosine,
        )


class WeightGauge:
    """Reads full weights; keeps two numbers a layer of the start, and no copy of it."""

    def __init__(self, axes: Axes, model: nn.Module) -> None:
        self._axes = axes
        self._start = weight_dots(unwrap(model), axes)

    def read(self, model: nn.Module) -> Reading:
        """Raises AdapterError if the model lacks a layer of the bundle."""
        now = weight_dots(unwrap(model), self._axes)
        dots = {n: (d - self._start[n][0], s - self._start[n][1]) for n, (d, s) in now.items()}
        danger, safety = self._axes.danger, self._axes.safety
        return Reading(
            ratio(math.fsum(d for d, _ in dots.values()), danger.norm),
            ratio(math.fsum(s for _, s in dots.values()), safety.norm),
            {
                name: (ratio(d, danger.norms.get(name, 0.0)), ratio(s, safety.norms.get(name, 0.0)))
                for name, (d, s) in dots.items()
            },
        )
