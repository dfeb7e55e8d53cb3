"""From per-sample LoRA gradients to projections, by low-rank algebra alone (METHOD sections 4 and 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from sqsd_lint.score.gradient import factor_norm_squared
from sqsd_lint.types import Metric

if TYPE_CHECKING:
    from torch import Tensor

    from sqsd_lint.score.directions import ExpansionLayer


class Sink(Protocol):
    """Takes one layer's per-sample gradients as soon as the backward pass has them."""

    def add(self, name: str, layer: ExpansionLayer, gA: Tensor, gB: Tensor) -> None:
        """gA: [b, r, d_in], gB: [b, r, d_out], the transpose of METHOD's."""


# A layer's gradient can be zero in truth (attention over a single key) and rounding noise in practice; its
# cosine would be noise of order one. Below this share of the row's largest layer it counts as zero: some
# eight units in the last place of float32, and far below any real layer.
NOISE = 1e-6


def update_dot(layer: ExpansionLayer, gA: Tensor, gB: Tensor) -> Tensor:
    """<dW_i, V> = -(<gB, P> + <gA, Q>) for each sample and direction, [b, K] float32."""
    return -(gB.flatten(1) @ layer.P.T + gA.flatten(1) @ layer.Q.T)


def update_norm_squared(layer: ExpansionLayer, gA: Tensor, gB: Tensor) -> Tensor:
    """||dW_i||^2 for each sample, [b] float32, with dW_i = -(gB_i A0 + B0 gA_i) never formed.

    <gB (A0 A0^T), gB> + <(B0^T B0) gA, gA> + 2 <B0^T gB, gA A0^T>
    """
    A0, B0T = layer.A0.float(), layer.B0T.float()
    from_B = ((layer.gram_A @ gB) * gB).sum((1, 2))
    from_A = ((layer.gram_B @ gA) * gA).sum((1, 2))
    cross = ((B0T @ gB.transpose(1, 2)) * (gA @ A0.T)).sum((1, 2))
    return from_B + from_A + 2 * cross


class ProjectionSum:
    """Collects what the layers give, and sums it over layers: p_i of METHOD section 4."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._dots: list[Tensor] = []  # [b, K] each
        self._squares: list[Tensor] = []  # [b] each
        self._norms: list[Tensor] = []  # [K] each
        self._scalings: list[Tensor] = []  # [K] each, s0 times the vector's own
        self._lengths: list[Tensor] = []  # [K] each, ||displacement||

    def add(self, name: str, layer: ExpansionLayer, gA: Tensor, gB: Tensor) -> None:
        gA, gB = gA.float(), gB.float()
        self._names.append(name)
        self._dots.append(update_dot(layer, gA, gB))
        self._squares.append(
            factor_norm_squared(gA, gB) if layer.of_factors else update_norm_squared(layer, gA, gB)
        )
        self._norms.append(layer.norms)
        self._scalings.append(layer.scaling * layer.vector_scaling)
        self._lengths.append(layer.norms * layer.vector_scaling)

    def terms(self, metric: Metric) -> dict[str, Tensor]:
        """Each layer's term, [b, K] float32; 0 where ||V|| or ||dW|| is 0. Empty if no layer is scored."""
        if not self._names:
            return {}
        dots = torch.stack(self._dots)  # [M, b, K]
        scale, live = self.scales(metric)
        # NaN must stay NaN: a row that overflows may not pass as a row without an update.
        return dict(zip(self._names, torch.where(live, dots * scale, 0), strict=True))

    def scales(self, metric: Metric) -> tuple[Tensor, Tensor]:
        """What the metric multiplies each layer's dot with, and where it counts at all, both [M, b, K]."""
        norms = torch.stack(self._norms)[:, None]  # [M, 1, K]
        lengths = torch.stack(self._squares).clamp(min=0).sqrt()[..., None]  # [M, b, 1]
        live = (norms > 0) & (lengths > NOISE * lengths.amax(0))
        scale = torch.ones_like(norms) if metric == "dot" else 1 / norms
        if metric == "cosine":
            scale = scale / lengths
        return scale.expand_as(live), live | lengths.isnan()

    def drift(self) -> Tensor:
        """The update's component along each displacement D = scaling V, as a share of ||D||: [b, K] float32.

        sum_m <s0 dW_m, D_m> / sum_m ||D_m||^2, over all scored layers as one vector; NaN where D is 0.
        """
        dots = torch.stack(self._dots)  # [M, b, K]
        scalings = torch.stack(self._scalings)[:, None]  # [M, 1, K]
        length = torch.stack(self._lengths).square().sum(0)  # [K]
        return (dots * scalings).sum(0) / length
