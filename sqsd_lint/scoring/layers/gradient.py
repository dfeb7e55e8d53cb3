"""Keep directions that are gradients: where the likelihood of given answers grows fastest.

The paper's direction is a task vector, where training on harmful answers ended. This one is where it would
begin: the gradient of the mean log-likelihood of answers at the expansion point itself, so that the inner
product with a sample's update is, to first order, what the sample does to that likelihood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sqsd_lint.adapters.factors import Adapter


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
