"""Directions, and what can be computed of them once per bundle (METHOD section 5).

For a layer with direction V = Bv Av and expansion point (A0, B0):

    <gB A0, V> = <gB, P>,  P = Bv (Av A0^T)   [d_out, r], kept transposed
    <B0 gA, V> = <gA, Q>,  Q = (B0^T Bv) Av   [r, d_in]
    ||V||^2    = <Bv^T Bv, Av Av^T>
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sqsd_lint.score.gradient import FactorGradient, Gradient

if TYPE_CHECKING:
    from torch import Tensor

    from sqsd_lint.score.adapters import Adapter, LoraFactors


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
class ExpansionLayer:
    """One layer at one expansion point, and its K directions, in float32 on the scorer's device.

    Attributes:
        A0, B0T: [r, d_in], [r, d_out] in the model's dtype, as the forward pass uses them.
        scaling: s0.
        P: [K, r * d_out] (transposed) and Q: [K, r * d_in]; empty (K = 0) where no direction has this layer.
        gram_A: A0 A0^T and gram_B: B0^T B0, both [r, r].
        norms: [K] ||V_m|| of each direction, 0 where it lacks the layer.
        vector_scaling: [K] what PEFT multiplies V_m with: scaling V_m is the displacement itself. NaN where
            the direction is a gradient and no displacement.
        of_factors: whether updates are measured as vectors of factors, as gradients are, and not as dW.
    """

    A0: Tensor
    B0T: Tensor
    scaling: float
    P: Tensor
    Q: Tensor
    gram_A: Tensor
    gram_B: Tensor
    norms: Tensor
    vector_scaling: Tensor
    of_factors: bool = False

    @property
    def scored(self) -> bool:
        return self.P.shape[0] > 0


@dataclass(frozen=True, slots=True, eq=False)
class ExpansionPoint:
    """An expansion adapter with every direction that is projected there: one pass over the data.

    Attributes:
        layers: by module name, every layer that the expansion adapter changes.
        columns: which of the scorer's directions this pass answers, in the order of P's rows.
    """

    layers: dict[str, ExpansionLayer]
    columns: tuple[int, ...]


def expansion_points(
    directions: Sequence[Direction],
    *,
    modules: Collection[str] | None,
    device: torch.device,
    dtype: torch.dtype,
) -> list[ExpansionPoint]:
    """Group directions by expansion point and precompute P, Q, Gram matrices and norms in float64.

    Args:
        modules: score these modules only; None scores all.
    """
    groups: dict[tuple[int, float | None, bool], list[int]] = {}
    for column, direction in enumerate(directions):
        kind = isinstance(direction.vector, Gradient)
        groups.setdefault((id(direction.expansion), direction.scaling, kind), []).append(column)
    points = []
    for columns in groups.values():
        members = [directions[c] for c in columns]
        layers = {
            name: _layer(name, factors, members, modules, device, dtype)
            for name, factors in members[0].expansion.factors.items()
        }
        points.append(ExpansionPoint(layers, tuple(columns)))
    return points


def _layer(
    name: str,
    at: LoraFactors,
    members: Sequence[Direction],
    modules: Collection[str] | None,
    device: torch.device,
    dtype: torch.dtype,
) -> ExpansionLayer:
    A0, B0 = at.A.double(), at.B.double()
    P, Q, norms, scalings = [], [], [], []
    for direction in members:
        v = direction.vector.factors.get(name)
        if v is None or (modules is not None and name not in modules):
            P.append(torch.zeros(B0.numel(), dtype=torch.float64))
            Q.append(torch.zeros(A0.numel(), dtype=torch.float64))
            norms.append(torch.zeros((), dtype=torch.float64))
            scalings.append(0.0)
            continue
        if isinstance(v, FactorGradient):
            P.append(v.B.double().flatten())
            Q.append(v.A.double().flatten())
            norms.append((v.A.double().square().sum() + v.B.double().square().sum()).sqrt())
            scalings.append(math.nan)
            continue
        Av, Bv = v.A.double(), v.B.double()
        P.append(((A0 @ Av.T) @ Bv.T).flatten())
        Q.append(((B0.T @ Bv) @ Av).flatten())
        norms.append(((Bv.T @ Bv) * (Av @ Av.T)).sum().clamp(min=0).sqrt())
        scalings.append(v.scaling)
    if not any(norms):
        P, Q, norms, scalings = [], [], [], []
    empty = torch.zeros(0, 0)
    return ExpansionLayer(
        A0=A0.to(device, dtype),
        B0T=B0.T.contiguous().to(device, dtype),
        scaling=at.scaling if members[0].scaling is None else members[0].scaling,
        P=(torch.stack(P) if P else empty).to(device, torch.float32),
        Q=(torch.stack(Q) if Q else empty).to(device, torch.float32),
        gram_A=(A0 @ A0.T).to(device, torch.float32),
        gram_B=(B0.T @ B0).to(device, torch.float32),
        norms=(torch.stack(norms) if norms else torch.zeros(0)).to(device, torch.float32),
        vector_scaling=torch.tensor(scalings, device=device, dtype=torch.float32),
        of_factors=isinstance(members[0].vector, Gradient),
    )
