"""Project the update of a LoRA layer, by low-rank algebra alone (docs/method.md section 5).

One SGD step on the factors changes the effective weight by dW_i = -(gB_i A0 + B0 gA_i). What can be computed
of a direction V = Bv Av once per bundle:

    <gB A0, V> = <gB, P>,  P = Bv (Av A0^T)   [d_out, r], kept transposed
    <B0 gA, V> = <gA, Q>,  Q = (B0^T Bv) Av   [r, d_in]
    ||V||^2    = <Bv^T Bv, Av Av^T>

A direction may also be a gradient of factors: where the likelihood of given answers grows fastest. A paper's
direction is a task vector, where training on harmful answers ended. This one is where it would begin: the
gradient of the mean log-likelihood of answers at the expansion point itself, so that the inner product with a
sample's update is, to first order, what the sample does to that likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from sqsd_lint.adapters.factors import Adapter, LoraFactors


@dataclass(frozen=True, slots=True)
class FactorGradient:
    """The gradient with respect to one layer's factors at an expansion point.

    Attributes:
        A: [r, d_in] float32.
        B: [r, d_out] float32, transposed as everywhere in `score`.
    """

    A: Tensor
    B: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Gradient:
    """The gradient of a mean log-likelihood by module name; it belongs to one expansion point."""

    factors: Mapping[str, FactorGradient]

    @classmethod
    def of_adapter(cls, adapter: Adapter) -> Gradient:
        """Read a gradient that is laid out as an adapter: A [r, d_in] and B [d_out, r] of every module."""
        factors = adapter.factors.items()
        return cls({name: FactorGradient(f.A.float(), f.B.float().T.contiguous()) for name, f in factors})

    def tensors(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Return the weights of a PEFT folder, which `of_adapter` reads back."""
        found = {}
        for name, g in self.factors.items():
            key = f"base_model.model.{name}"
            found[f"{key}.lora_A.weight"] = g.A.to(dtype).contiguous()
            found[f"{key}.lora_B.weight"] = g.B.T.to(dtype).contiguous()
        return found


def factor_norm_squared(gA: Tensor, gB: Tensor) -> Tensor:
    """Return ||gA_i||^2 + ||gB_i||^2 for each sample, [b]: the update's squared length in factors."""
    return (gA * gA).sum((1, 2)) + (gB * gB).sum((1, 2))


@dataclass(frozen=True, slots=True, eq=False)
class LoraLayer:
    """One LoRA layer at one expansion point, and its K directions, in float32 on the scorer's device.

    Attributes:
        A0, B0T: [r, d_in], [r, d_out] in the model's dtype, as the forward pass uses them.
        scaling: s0.
        P: [K, r * d_out] (transposed) and Q: [K, r * d_in]; empty (K = 0) where no direction has this layer.
        gram_A: A0 A0^T and gram_B: B0^T B0, both [r, r].
        norms, vector_scaling: see `projections.Layer`.
        of_factors: whether updates are measured as vectors of factors, as margin gradients are, not as dW.
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

    @property
    def step(self) -> float:
        return self.scaling

    def factor_gradients(self, x: Tensor, h: Tensor, d: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return each sample's gradients of the two factors, gA [b, r, d_in] and gB [b, r, d_out], float32.

        gB_i = s0 sum_t d_it (x) h_it        gA_i = sum_t u_it (x) x_it
        """
        # Thin products run several times faster with the long side last.
        gB = (self.scaling * h).transpose(1, 2) @ d
        gA = u.transpose(1, 2) @ x
        return gA.float(), gB.float()

    def measure(self, x: Tensor, h: Tensor, d: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        gA, gB = self.factor_gradients(x, h, d, u)
        square = factor_norm_squared(gA, gB) if self.of_factors else update_norm_squared(self, gA, gB)
        return update_dot(self, gA, gB), square

    def token_dots(self, x: Tensor, h: Tensor, d: Tensor, u: Tensor) -> Tensor:
        x, h, d, u = x.float(), self.scaling * h.float(), d.float(), u.float()
        rank = h.shape[-1]
        dots = []
        for P, Q in zip(self.P, self.Q, strict=True):
            by_out = d @ P.view(rank, -1).T  # [b, t, r]
            by_in = x @ Q.view(rank, -1).T
            dots.append(-(by_out * h + by_in * u).sum(-1))
        return torch.stack(dots, dim=-1)


def update_dot(layer: LoraLayer, gA: Tensor, gB: Tensor) -> Tensor:
    """Return <dW_i, V> = -(<gB, P> + <gA, Q>) for each sample and direction, [b, K] float32."""
    return -(gB.flatten(1) @ layer.P.T + gA.flatten(1) @ layer.Q.T)


def update_norm_squared(layer: LoraLayer, gA: Tensor, gB: Tensor) -> Tensor:
    """Return ||dW_i||^2 for each sample, [b] float32, with dW_i = -(gB_i A0 + B0 gA_i) never formed.

    <gB (A0 A0^T), gB> + <(B0^T B0) gA, gA> + 2 <B0^T gB, gA A0^T>
    """
    A0, B0T = layer.A0.float(), layer.B0T.float()
    from_B = ((layer.gram_A @ gB) * gB).sum((1, 2))
    from_A = ((layer.gram_B @ gA) * gA).sum((1, 2))
    cross = ((B0T @ gB.transpose(1, 2)) * (gA @ A0.T)).sum((1, 2))
    return from_B + from_A + 2 * cross


def lora_layer(
    at: LoraFactors,
    vectors: Sequence[LoraFactors | FactorGradient | None],
    device: torch.device,
    dtype: torch.dtype,
    *,
    scaling: float | None = None,
    of_factors: bool = False,
) -> LoraLayer:
    """Precompute P, Q, Gram matrices and norms in float64.

    Args:
        at: the factors of the expansion point.
        vectors: the layer's factors in each direction; None where a direction lacks the layer.
        scaling: overrides the expansion point's own.
        of_factors: whether the directions are gradients of factors.
    """
    A0, B0 = at.A.double(), at.B.double()
    P, Q, norms, scalings = [], [], [], []
    for v in vectors:
        if v is None:
            P.append(torch.zeros(B0.numel(), dtype=torch.float64))
            Q.append(torch.zeros(A0.numel(), dtype=torch.float64))
            norms.append(torch.zeros((), dtype=torch.float64))
            scalings.append(0.0)
        elif isinstance(v, FactorGradient):
            P.append(v.B.double().flatten())
            Q.append(v.A.double().flatten())
            norms.append((v.A.double().square().sum() + v.B.double().square().sum()).sqrt())
            scalings.append(math.nan)
        else:
            Av, Bv = v.A.double(), v.B.double()
            P.append(((A0 @ Av.T) @ Bv.T).flatten())
            Q.append(((B0.T @ Bv) @ Av).flatten())
            norms.append(vector_norm(v))
            scalings.append(v.scaling)
    if not any(norms):
        P, Q, norms, scalings = [], [], [], []
    empty = torch.zeros(0, 0)
    return LoraLayer(
        A0=A0.to(device, dtype),
        B0T=B0.T.contiguous().to(device, dtype),
        scaling=at.scaling if scaling is None else scaling,
        P=(torch.stack(P) if P else empty).to(device, torch.float32),
        Q=(torch.stack(Q) if Q else empty).to(device, torch.float32),
        gram_A=(A0 @ A0.T).to(device, torch.float32),
        gram_B=(B0.T @ B0).to(device, torch.float32),
        norms=(torch.stack(norms) if norms else torch.zeros(0)).to(device, torch.float32),
        vector_scaling=torch.tensor(scalings, device=device, dtype=torch.float32),
        of_factors=of_factors,
    )


def vector_norm(v: LoraFactors) -> Tensor:
    """Return ||Bv Av||, a float64 scalar, without the product."""
    A, B = v.A.double(), v.B.double()
    return ((B.T @ B) * (A @ A.T)).sum().clamp(min=0).sqrt()
