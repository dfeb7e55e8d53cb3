"""Reach: the share of a direction's energy that a LoRA update at an expansion point can have at all.

One step on the factors (A0, B0) moves a layer's weight by dW = -(gB A0 + B0 gA), whatever the sample. So dW
lies in

    S = { X A0 + B0 Y },    the rows in the span of A0's rows, or the columns in the span of B0's columns.

With P the projection on the row space of A0 and R that on the column space of B0, the part of V that no such
update has is (1 - R) V (1 - P). For V = Bv Av it is the product of two thin factors, B' = Bv - R Bv and
A' = Av - Av P, and by r x r algebra alone

    reach = 1 - sum_m <B'^T B', A' A'^T> / sum_m <Bv^T Bv, Av Av^T>.

A cosine of dW with V is at most the square root of a layer's reach. Where B0 is 0, as at the start of a
training, R is 0 and only A0's rows are left: 1 if V was trained from the same A and has kept its rows,
r / d_in on average if it began from another.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from sqsd_lint.errors import AdapterError

if TYPE_CHECKING:
    from torch import Tensor

    from sqsd_lint.adapters.factors import Adapter, LoraFactors


def reach(direction: Adapter, point: Adapter, modules: Collection[str] | None = None) -> float:
    """Return the share of ||V||^2 that an update at an expansion point can reach, between 0 and 1.

    Args:
        direction: V = B @ A by module; its scaling plays no part.
        point: (A0, B0) by module; a layer that it lacks gets no update.
        modules: the layers that are scored; None takes all of the direction's.

    Raises:
        AdapterError: the direction is 0, so that there is nothing to reach; a layer's shapes differ.
    """
    whole = lost = 0.0
    for name, vector in direction.factors.items():
        if modules is not None and name not in modules:
            continue
        energy = _energy(vector.B.double(), vector.A.double())
        whole += energy
        at = point.factors.get(name)
        lost += energy if at is None else min(_unreached(vector, at, name), energy)
    if whole == 0:
        raise AdapterError("the direction is 0 in every layer that is scored", hint="train it anew")
    return 1 - lost / whole


def _unreached(vector: LoraFactors, at: LoraFactors, name: str) -> float:
    """Return ||(1 - R) V (1 - P)||^2 of a layer."""
    A, B = vector.A.double(), vector.B.double()  # [r, d_in], [d_out, r]
    if at.A.shape[1] != A.shape[1] or at.B.shape[0] != B.shape[0]:
        raise AdapterError(f"{name}: the direction and its expansion point have different shapes")
    rows, columns = _basis(at.A.T.double()), _basis(at.B.double())  # [d_in, k], [d_out, l]
    return _energy(B - columns @ (columns.T @ B), A - (A @ rows) @ rows.T)


def _basis(matrix: Tensor) -> Tensor:
    """Return an orthonormal basis [d, k] of the span of a matrix's columns, k its rank in float32."""
    import torch

    u, s, _ = torch.linalg.svd(matrix, full_matrices=False)
    # Factors are stored in float32 at best: what is smaller than its rounding spans nothing.
    basis: Tensor = u[:, s > s[:1] * max(matrix.shape) * torch.finfo(torch.float32).eps]
    return basis


def _energy(B: Tensor, A: Tensor) -> float:
    """Return ||B A||^2."""
    return max(float(((B.T @ B) * (A @ A.T)).sum()), 0.0)
