"""Read the danger and the safety direction of a bundle as low-rank matrices, one per layer.

A displacement of weights is measured along them. Both kinds of direction are taken as what they do to the
weights:

    task vector        scaling * B @ A                     where training on such answers ended
    margin gradient    s0 * (gB @ A0 + B0 @ gA)            where one step along the gradient leads

The second is the first-order change of s0 * B @ A at the expansion point (A0, B0), of rank 2r.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from sqsd_lint.adapters.factors import Adapter, load_adapter
from sqsd_lint.common.module_names import top_blocks
from sqsd_lint.drift.lowrank import LowRank, one_thread
from sqsd_lint.errors import AdapterError

if TYPE_CHECKING:
    from sqsd_lint.bundle.load import Bundle
    from sqsd_lint.types import DirectionKind

_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True, eq=False)
class WeightDirection:
    """One direction: a displacement of the weights, of which only the way it points counts.

    Attributes:
        layers: by module name ("model.layers.0.self_attn.q_proj"), layers of norm 0 left out.
        kind: a task vector has a length that means something, a margin gradient has none.
        norms: ||.||_F by module name.
        norm: of all layers as one vector.
    """

    layers: Mapping[str, LowRank]
    kind: DirectionKind = "task-vector"
    norms: Mapping[str, float] = field(init=False)
    norm: float = field(init=False)

    def __post_init__(self) -> None:
        norms = {name: math.sqrt(layer.square) for name, layer in self.layers.items()}
        live = {name: norm for name, norm in norms.items() if norm > 0}
        object.__setattr__(self, "layers", {name: self.layers[name] for name in live})
        object.__setattr__(self, "norms", live)
        object.__setattr__(self, "norm", math.hypot(*live.values()))

    @property
    def length(self) -> float:
        """Return ||displacement|| of a task vector; NaN for a gradient, which is no displacement."""
        return self.norm if self.kind == "task-vector" else math.nan


@dataclass(frozen=True, slots=True, eq=False)
class WeightDirections:
    """Danger and safety, and the angle between them.

    Attributes:
        modules: names of the layers that either of them has, in the order of blocks.
        cosine: between the two, all layers as one vector; NaN if one of them is 0.
    """

    danger: WeightDirection
    safety: WeightDirection
    modules: tuple[str, ...] = field(init=False)
    cosine: float = field(init=False)

    def __post_init__(self) -> None:
        danger, safety = self.danger, self.safety
        dot = math.fsum(d.dot(safety.layers[n]) for n, d in danger.layers.items() if n in safety.layers)
        object.__setattr__(self, "modules", in_order({*danger.layers, *safety.layers}))
        object.__setattr__(self, "cosine", ratio(dot, danger.norm * safety.norm))

    @classmethod
    @one_thread()
    def of(cls, bundle: Bundle, modules: Collection[str] | None = None) -> WeightDirections:
        """Return the directions of a bundle, on the layers that its manifest scores.

        Args:
            modules: only these layers; by default all, or the manifest's top blocks.

        Raises:
            AdapterError: an adapter cannot be read, or holds no layer that is scored.
        """
        manifest = bundle.manifest
        read: dict[str, Adapter] = {}

        def adapter(name: str) -> Adapter:
            if name not in read:
                read[name] = load_adapter(bundle.adapter_dir(name))
            return read[name]

        directions = {}
        for name in ("danger", "safety"):
            spec = manifest.directions[name]
            if spec.kind == "margin-gradient":
                layers = gradient_layers(adapter(spec.adapter), adapter(spec.expansion or "initial"))
            else:
                layers = {n: LowRank.of_factors(f) for n, f in adapter(spec.adapter).factors.items()}
            directions[name] = layers, spec.kind
        names = {n for layers, _ in directions.values() for n in layers}
        wanted = top_blocks(names, manifest.modules) if modules is None else names & set(modules)
        danger, safety = (
            WeightDirection({n: layer for n, layer in layers.items() if n in wanted}, kind)
            for layers, kind in directions.values()
        )
        for name, direction in (("danger", danger), ("safety", safety)):
            if not direction.layers:
                raise AdapterError(
                    f"{bundle.root}: the {name} direction has no layer that is scored",
                    hint="`sqsd-lint bundle verify` checks the bundle",
                )
        return cls(danger, safety)


def gradient_layers(gradient: Adapter, at: Adapter) -> dict[str, LowRank]:
    """Return how one step of size 1 along a gradient of factors moves the weights at its expansion point.

    Args:
        gradient: laid out as an adapter, A is gA [r, d_in] and B is gB [d_out, r].
        at: the expansion point (A0, B0) with its own scaling s0.
    """
    found = {}
    for name, g in gradient.factors.items():
        point = at.factors[name]
        up = point.scaling * torch.cat([g.B, point.B], 1).double()
        found[name] = LowRank(up, torch.cat([point.A, g.A], 0).double())
    return found


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return module names sorted with their numbers as numbers: layer 2 before layer 10."""
    return tuple(sorted(names, key=lambda name: [(p.isdigit(), int(p) if p.isdigit() else 0, p)
                                                 for p in _NUMBER.split(name)]))  # fmt: skip


def ratio(dot: float, norms: float) -> float:
    """Return dot / norms, a cosine or a projection; NaN where a norm is 0 and there is no direction."""
    return dot / norms if norms > 0 else math.nan
