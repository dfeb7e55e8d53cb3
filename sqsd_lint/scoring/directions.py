"""Group directions by the expansion points at which samples are projected (docs/method.md section 4)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqsd_lint.scoring.layers.full import FullLayer, full_layer
from sqsd_lint.scoring.layers.lora import FactorGradient, Gradient, LoraLayer, lora_layer
from sqsd_lint.types import Update

if TYPE_CHECKING:
    import torch

    from sqsd_lint.adapters.factors import Adapter, LoraFactors


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """A task vector, and the point at which samples are expanded to be projected on it.

    Attributes:
        name: "danger" or "safety".
        vector: V_m = B_m @ A_m by module; its scaling plays no part. Or a gradient at `expansion`, whose
            factors take the place of P and Q.
        expansion: the adapter (A0, B0) that is active while gradients are taken.
        scaling: overrides the expansion adapter's own scaling, if not None.
    """

    name: str
    vector: Adapter | Gradient
    expansion: Adapter
    scaling: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ExpansionPoint:
    """An expansion adapter with every direction that is projected there: one pass over the data.

    Attributes:
        layers: by module name, every layer that the expansion adapter changes or a full update is taken of.
        columns: which of the scorer's directions this pass answers, in the order of a layer's directions.
    """

    layers: dict[str, LoraLayer] | dict[str, FullLayer]
    columns: tuple[int, ...]


def expansion_points(
    directions: Sequence[Direction],
    *,
    modules: Collection[str] | None,
    device: torch.device,
    dtype: torch.dtype,
    update: Update = "lora",
) -> list[ExpansionPoint]:
    """Group directions by expansion point and precompute what can be computed of them once.

    Args:
        modules: score these modules only; None scores all.
        update: what a training step moves: the factors of the expansion adapter, or the whole weights.

    Raises:
        ValueError: a full update, and a direction that is a gradient of factors.
    """
    if update == "full" and any(isinstance(d.vector, Gradient) for d in directions):
        raise ValueError("a direction that is a gradient of LoRA factors is no direction of whole weights")
    groups: dict[tuple[int, float | None, bool], list[int]] = {}
    for column, direction in enumerate(directions):
        kind = isinstance(direction.vector, Gradient)
        groups.setdefault((id(direction.expansion), direction.scaling, kind), []).append(column)
    points = []
    for columns in groups.values():
        members = [directions[c] for c in columns]
        make = _full_layers if update == "full" else _lora_layers
        points.append(ExpansionPoint(make(members, modules, device, dtype), tuple(columns)))
    return points


def _lora_layers(
    members: Sequence[Direction],
    modules: Collection[str] | None,
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, LoraLayer]:
    layers = members[0].expansion.factors.items()
    return {
        name: lora_layer(
            at,
            [_vector(d, name, modules) for d in members],
            device,
            dtype,
            scaling=members[0].scaling,
            of_factors=isinstance(members[0].vector, Gradient),
        )
        for name, at in layers
    }


def _full_layers(
    members: Sequence[Direction],
    modules: Collection[str] | None,
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, FullLayer]:
    point = members[0].expansion.factors
    layers = {}
    for name in dict.fromkeys([*point, *(name for d in members for name in d.vector.factors)]):
        vectors = [_task_vector(d, name, modules) for d in members]
        at = point.get(name)
        known = at or next((v for v in vectors if v), None)
        if known is None:  # not scored, and not changed either
            continue
        shape = known.B.shape[0], known.A.shape[1]
        layers[name] = full_layer(shape, at, members[0].scaling, vectors, device, dtype)
    return layers


def _vector(
    direction: Direction, name: str, modules: Collection[str] | None
) -> LoraFactors | FactorGradient | None:
    """Return a direction's factors in a layer, if it has them and the layer is scored."""
    return None if modules is not None and name not in modules else direction.vector.factors.get(name)


def _task_vector(direction: Direction, name: str, modules: Collection[str] | None) -> LoraFactors | None:
    found = _vector(direction, name, modules)
    assert not isinstance(found, FactorGradient)
    return found
