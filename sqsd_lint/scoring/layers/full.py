"""Project the update of a layer whose whole weight is trained (docs/method.md sections 3 and 5).

The update is dW_i = -G_i = -dl_i/dW, and G_i = sum_t d_it (x) x_it is never formed. Its inner product with
V = Bv Av splits over tokens, and its norm over pairs of tokens, taken in blocks so that memory grows with the
tokens and not with their square:

    <G_i, V>  = sum_t (d_it Bv) . (Av x_it)
    ||G_i||^2 = sum_{t,t'} (d_it . d_it') (x_it . x_it')
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sqsd_lint.scoring.batching import even_slices
from sqsd_lint.scoring.layers.lora import vector_norm

if TYPE_CHECKING:
    from torch import Tensor

    from sqsd_lint.adapters.factors import LoraFactors

# Tokens on one side of a block of pairs.
_BLOCK = 256


@dataclass(frozen=True, slots=True, eq=False)
class FullLayer:
    """One layer at one expansion point, and its K directions, on the scorer's device.

    Attributes:
        A0, B0T: [r, d_in], [r, d_out] in the model's dtype: what the expansion point adds to the weight, with
            r = 0 where it adds nothing.
        scaling: s0, of the forward pass alone.
        vectors: (Av [r, d_in], Bv^T [r, d_out]) of each direction, float32; r = 0 where it lacks the layer.
        norms, vector_scaling: see `projections.Layer`.
    """

    A0: Tensor
    B0T: Tensor
    scaling: float
    vectors: tuple[tuple[Tensor, Tensor], ...]
    norms: Tensor
    vector_scaling: Tensor

    @property
    def scored(self) -> bool:
        return bool(self.vectors)

    @property
    def step(self) -> float:
        return 1.0

    @property
    def of_factors(self) -> bool:
        return False

    def measure(self, x: Tensor, h: Tensor, d: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        return self.token_dots(x, h, d, u).sum(1), gradient_norm_squared(x, d)

    def token_dots(self, x: Tensor, h: Tensor, d: Tensor, u: Tensor) -> Tensor:
        x, d = x.float(), d.float()
        return torch.stack([-((d @ B.T) * (x @ A.T)).sum(-1) for A, B in self.vectors], dim=-1)


def gradient_norm_squared(x: Tensor, d: Tensor) -> Tensor:
    """Return ||sum_t d_it (x) x_it||^2 for each sample, [b] float32; x [b, t, d_in], d [b, t, d_out]."""
    total = torch.zeros(len(x), device=x.device)
    blocks = even_slices(x.shape[1], _BLOCK)
    for i, one in enumerate(blocks):
        x1, d1 = x[:, one].float(), d[:, one].float()
        for other in blocks[i:]:
            x2, d2 = x[:, other].float(), d[:, other].float()
            pairs = (d1 @ d2.transpose(1, 2)) * (x1 @ x2.transpose(1, 2))  # [b, block, block]
            total += (1 if other is one else 2) * pairs.sum((1, 2))
    return total


def full_layer(
    shape: tuple[int, int],
    at: LoraFactors | None,
    scaling: float | None,
    vectors: Sequence[LoraFactors | None],
    device: torch.device,
    dtype: torch.dtype,
) -> FullLayer:
    """Put a layer's factors where the scorer needs them.

    Args:
        shape: (d_out, d_in).
        at: the factors of the expansion point; None where it leaves the layer alone.
        scaling: overrides that of `at`, if not None.
        vectors: the layer's factors in each direction; None where a direction lacks the layer.
    """
    d_out, d_in = shape
    A0 = torch.zeros(0, d_in) if at is None else at.A
    B0T = torch.zeros(0, d_out) if at is None else at.B.T
    pairs, norms, scalings = [], [], []
    for v in vectors:
        A, B = (torch.zeros(0, d_in), torch.zeros(0, d_out)) if v is None else (v.A, v.B.T)
        pairs.append((A.to(device, torch.float32), B.contiguous().to(device, torch.float32)))
        norms.append(0.0 if v is None else float(vector_norm(v)))
        scalings.append(0.0 if v is None else v.scaling)
    own = 1.0 if at is None else at.scaling
    live = any(norms)
    return FullLayer(
        A0=A0.to(device, dtype),
        B0T=B0T.contiguous().to(device, dtype),
        scaling=own if scaling is None else scaling,
        vectors=tuple(pairs) if live else (),
        norms=torch.tensor(norms if live else [], device=device, dtype=torch.float32),
        vector_scaling=torch.tensor(scalings if live else [], device=device, dtype=torch.float32),
    )
