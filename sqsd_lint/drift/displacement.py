"""Measure a displacement of the weights along danger and safety.

For a displacement D and a direction V, both over M layers:

    projection          <D, V> / ||V||              all layers as one vector: the headline. A length in the
                                                    unit of the weights, at most ||D||
    cosine              <D, V> / (||D|| ||V||)      its share of ||D||
    layer projection    sum_m <D_m, V_m> / ||V_m||  the metric `projection` (docs/method.md section 4) with D
                                                    in the place of dW
    layer cosine        1/M sum_m <D_m, V_m> / (||D_m|| ||V_m||), the metric `cosine` over M
    share               <D, V> / ||V||^2            1 is as far as the direction's own training went, the
                                                    unit of SQSD201; for a task vector only

||D|| is taken over the layers that danger or safety has. What lies outside is measured apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sqsd_lint.drift.directions import WeightDirection, WeightDirections, in_order, ratio
from sqsd_lint.drift.lowrank import LowRank
from sqsd_lint.errors import AdapterError

if TYPE_CHECKING:
    from torch import Tensor

# By module name: low rank, or dense in float64 as [d_out, d_in].
Displacement: TypeAlias = "Mapping[str, LowRank | Tensor]"


@dataclass(frozen=True, slots=True)
class InnerProducts:
    """All that is kept of one module's displacement D: ||D||^2, <D, V_danger>, <D, V_safety>."""

    square: float
    danger: float = 0.0
    safety: float = 0.0

    def __add__(self, other: InnerProducts) -> InnerProducts:
        """Return the sum over disjoint parts of a matrix."""
        return InnerProducts(
            self.square + other.square, self.danger + other.danger, self.safety + other.safety
        )


@dataclass(frozen=True, slots=True)
class DirectionDrift:
    """One displacement along one direction; see the module. NaN where either of them is 0."""

    projection: float
    cosine: float
    layer_projection: float
    layer_cosine: float
    share: float


@dataclass(frozen=True, slots=True)
class LayerDrift:
    """One layer: ||D_m||, <D_m, V_m> / ||V_m|| and its cosine. NaN where the direction lacks the layer."""

    module: str
    norm: float
    danger: float
    safety: float
    danger_cosine: float
    safety_cosine: float


@dataclass(frozen=True, slots=True)
class Drift:
    """A displacement along both directions.

    Attributes:
        norm: ||D|| over the layers that danger or safety has.
        outside: ||D|| over all other layers.
        layers: those that danger or safety has, in the order of blocks; untouched ones with norm 0.
    """

    norm: float
    outside: float
    danger: DirectionDrift
    safety: DirectionDrift
    layers: tuple[LayerDrift, ...]

    @property
    def difference(self) -> float:
        """Return danger less safety of the headline projections, as SQSD takes it of a sample."""
        return self.danger.projection - self.safety.projection


def project(directions: WeightDirections, displacement: Displacement) -> Drift:
    """Measure a displacement; layers that it lacks have not moved.

    Raises:
        AdapterError: a layer has another shape than in the bundle.
    """
    return drift_of(
        directions, {name: inner(directions, name, moved) for name, moved in displacement.items()}
    )


def inner(directions: WeightDirections, name: str, moved: LowRank | Tensor) -> InnerProducts:
    """Return the inner products of one module's displacement.

    Raises:
        AdapterError: the layer has another shape than in the bundle.
    """
    dots = []
    for direction in (directions.danger, directions.safety):
        along = direction.layers.get(name)
        if along is None:
            dots.append(0.0)
            continue
        if along.shape != tuple(moved.shape):
            raise AdapterError(
                f"{name} is {moved.shape[0]} x {moved.shape[1]} in the run,"
                f" {along.shape[0]} x {along.shape[1]} in the bundle",
                hint="the run fine-tunes another model than the bundle was made for",
            )
        dots.append(along.dot(moved) if isinstance(moved, LowRank) else along.dot_dense(moved))
    square = moved.square if isinstance(moved, LowRank) else float(moved.square().sum())
    return InnerProducts(square, *dots)


def drift_of(directions: WeightDirections, inners: Mapping[str, InnerProducts]) -> Drift:
    """Return the figures that follow from the inner products of all modules."""
    known = set(directions.modules)
    inside = {name: inners.get(name, InnerProducts(0.0)) for name in directions.modules}
    norm = math.sqrt(math.fsum(i.square for i in inside.values()))
    outside = math.sqrt(math.fsum(i.square for name, i in inners.items() if name not in known))
    return Drift(
        norm,
        outside,
        _along(directions.danger, {n: i.danger for n, i in inside.items()}, inside, norm),
        _along(directions.safety, {n: i.safety for n, i in inside.items()}, inside, norm),
        tuple(_layer(directions, name, i) for name, i in inside.items()),
    )


def _along(
    direction: WeightDirection, dots: Mapping[str, float], inners: Mapping[str, InnerProducts], norm: float
) -> DirectionDrift:
    whole = math.fsum(dots.values())
    cosines = [ratio(dots[n], v * math.sqrt(inners[n].square)) for n, v in direction.norms.items()]
    return DirectionDrift(
        projection=ratio(whole, direction.norm),
        cosine=ratio(whole, norm * direction.norm),
        layer_projection=math.fsum(dots[n] / v for n, v in direction.norms.items()),
        # As in a score, a layer that has not moved adds 0.
        layer_cosine=math.fsum(c for c in cosines if c == c) / len(cosines) if norm > 0 else math.nan,
        share=ratio(whole, direction.length * direction.norm),
    )


def _layer(directions: WeightDirections, name: str, i: InnerProducts) -> LayerDrift:
    norm = math.sqrt(i.square)
    danger, safety = (direction.norms.get(name, 0.0) for direction in (directions.danger, directions.safety))
    return LayerDrift(
        name,
        norm,
        ratio(i.danger, danger),
        ratio(i.safety, safety),
        ratio(i.danger, danger * norm),
        ratio(i.safety, safety * norm),
    )


def minus(a: Mapping[str, LowRank], b: Mapping[str, LowRank]) -> dict[str, LowRank]:
    """Return the displacement from state b to state a; a module that one of them lacks is 0 there.

    Raises:
        AdapterError: a module has two shapes.
    """
    for name in a.keys() & b.keys():
        if a[name].shape != b[name].shape:
            raise AdapterError(
                f"{name} is {a[name].shape} in one state and {b[name].shape} in the other",
                hint="the two belong to different models: name another --start",
            )
    return {
        name: a[name] - b[name] if name in a and name in b else a[name] if name in a else -b[name]
        for name in in_order({*a, *b})
    }


def dot(a: Mapping[str, LowRank], b: Mapping[str, LowRank]) -> float:
    """Return <a, b> of two low-rank displacements, all modules as one vector."""
    return math.fsum(moved.dot(b[name]) for name, moved in a.items() if name in b)


def cosine(a: Mapping[str, LowRank], b: Mapping[str, LowRank]) -> float:
    """Return the cosine of two low-rank displacements, all modules as one vector; NaN where one is 0."""
    return ratio(dot(a, b), math.sqrt(dot(a, a) * dot(b, b)))
