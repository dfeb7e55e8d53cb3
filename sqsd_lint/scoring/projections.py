"""Sum projections over layers from what a backward pass computes anyway (docs/method.md section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch

from sqsd_lint.errors import ModelError
from sqsd_lint.scoring.layers.lora import FactorGradient, Gradient
from sqsd_lint.types import Metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sqsd_lint.scoring.layers.lora import LoraLayer

# A layer's gradient can be zero in truth (attention over a single key) and rounding noise in practice; its
# cosine would be noise of order one. Below this share of the row's largest layer it counts as zero: some
# eight units in the last place of float32, and far below any real layer.
NOISE = 1e-6


class Layer(Protocol):
    """One layer at an expansion point and its K directions: what the forward pass needs, and its update.

    Attributes:
        A0, B0T: [r, d_in], [r, d_out] in the model's dtype: the weight in use is W + scaling B0 A0.
        norms: [K] ||V_m|| of each direction, 0 where it lacks the layer.
        vector_scaling: [K] what V_m is multiplied with to be the displacement itself; NaN where the direction
            is a gradient and no displacement.
        step: what dW is multiplied with to be the change of the weight.
        of_factors: whether the directions are gradients of factors, and updates are measured as such.
    """

    @property
    def A0(self) -> Tensor: ...
    @property
    def B0T(self) -> Tensor: ...
    @property
    def scaling(self) -> float: ...
    @property
    def norms(self) -> Tensor: ...
    @property
    def vector_scaling(self) -> Tensor: ...
    @property
    def step(self) -> float: ...
    @property
    def of_factors(self) -> bool: ...
    @property
    def scored(self) -> bool: ...

    def measure(self, x: Tensor, h: Tensor, d: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return (<dW_i, V> [b, K], ||dW_i||^2 [b]), float32, of each sample's update; see `Sink.take`."""

    def token_dots(self, x: Tensor, h: Tensor, d: Tensor, u: Tensor) -> Tensor:
        """Return each position's part of <dW_i, V>, [b, t, K] float32."""


class Sink(Protocol):
    """Take one layer's tokens as soon as the backward pass has them."""

    def take(self, name: str, layer: Any, x: Tensor, h: Tensor, d: Tensor, u: Tensor) -> None:
        """Take one layer's x [b, t, d_in] and d [b, t, d_out], h = x A0^T and u = s0 d B0, both [b, t, r].

        d is the gradient, at the layer's output, of the sum of the samples' mean losses.
        """


class ProjectionSum:
    """Collect what the layers give and sum it over layers: p_i of docs/method.md section 4."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._dots: list[Tensor] = []  # [b, K] each
        self._squares: list[Tensor] = []  # [b] each
        self._layers: list[Layer] = []

    def take(self, name: str, layer: Layer, x: Tensor, h: Tensor, d: Tensor, u: Tensor) -> None:
        if name in self._names:
            raise ModelError(f"layer {name!r} is used more than once in a pass: its update is not one term")
        dots, squares = layer.measure(x, h, d, u)
        if self._dots:  # layers may be on several devices
            dots, squares = dots.to(self._dots[0].device), squares.to(self._dots[0].device)
        self._names.append(name)
        self._dots.append(dots)
        self._squares.append(squares)
        self._layers.append(layer)

    def terms(self, metric: Metric) -> dict[str, Tensor]:
        """Return each layer's term, [b, K] float32, 0 where ||V|| or ||dW|| is 0; none without layers."""
        if not self._names:
            return {}
        dots = torch.stack(self._dots)  # [M, b, K]
        scale, live = self.scales(metric)
        # NaN must stay NaN: a row that overflows may not pass as a row without an update.
        return dict(zip(self._names, torch.where(live, dots * scale, 0), strict=True))

    def scales(self, metric: Metric) -> tuple[Tensor, Tensor]:
        """Return the metric's factor of each layer's dot, and where it counts at all, both [M, b, K]."""
        device = self._dots[0].device
        norms = torch.stack([layer.norms.to(device) for layer in self._layers])[:, None]  # [M, 1, K]
        lengths = torch.stack(self._squares).clamp(min=0).sqrt()
        lengths = torch.where(lengths.isfinite(), lengths, torch.nan)[..., None]  # [M, b, 1]
        live = (norms > 0) & (lengths > NOISE * lengths.amax(0))
        scale = torch.ones_like(norms) if metric == "dot" else 1 / norms
        if metric == "cosine":
            scale = scale / lengths
        broken = lengths.isnan()
        return torch.where(broken, torch.nan, scale).expand_as(live), live | broken

    def drift(self) -> Tensor:
        """Return how far an SGD step of size 1 goes along each direction, all layers in one: [b, K] float32.

        For a task vector, the component along the displacement D = scaling V, as a share of ||D||:
        sum_m <step dW_m, D_m> / sum_m ||D_m||^2; NaN where D is 0. For a margin gradient, the inner product:
        the gain in the mean log-likelihood that it is the gradient of, in nats a token.
        """
        dots = torch.stack(self._dots)  # [M, b, K]
        if self._layers[0].of_factors:
            return dots.sum(0)
        scalings = torch.stack([(m.step * m.vector_scaling).to(dots.device) for m in self._layers])
        lengths = torch.stack([(m.norms * m.vector_scaling).to(dots.device) for m in self._layers])
        # scalings and lengths: [M, K]
        return (dots * scalings[:, None]).sum(0) / lengths.square().sum(0)


class GradientSum:
    """A sink that adds up samples' gradients layer by layer instead of projecting them."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor, Tensor]] = {}

    def take(self, name: str, layer: LoraLayer, x: Tensor, h: Tensor, d: Tensor, u: Tensor) -> None:
        A, B = (g.sum(0) for g in layer.factor_gradients(x, h, d, u))
        if name in self._sums:
            A, B = A + self._sums[name][0], B + self._sums[name][1]
        self._sums[name] = A, B

    def ascent(self, samples: int) -> Gradient:
        """Return the gradient of the mean log-likelihood: minus that of the mean loss."""
        means = {n: (-A / samples, -B / samples) for n, (A, B) in self._sums.items()}
        return Gradient({n: FactorGradient(A.cpu(), B.cpu()) for n, (A, B) in means.items()})
