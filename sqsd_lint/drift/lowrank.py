"""Keep matrices as products of two thin factors, and take inner products by r x r algebra alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from sqsd_lint.adapters.factors import LoraFactors


@dataclass(frozen=True, slots=True, eq=False)
class LowRank:
    """The matrix up @ down, which is never formed.

    Attributes:
        up: [d_out, r] float64.
        down: [r, d_in] float64.
    """

    up: Tensor
    down: Tensor

    @classmethod
    def of_factors(cls, factors: LoraFactors) -> LowRank:
        """Return what the factors add to the layer's weight: scaling * B @ A."""
        return cls(factors.scaling * factors.B.double(), factors.A.double())

    @property
    def shape(self) -> tuple[int, int]:
        """Return (d_out, d_in) of the matrix."""
        return self.up.shape[0], self.down.shape[1]

    @property
    def square(self) -> float:
        """Return ||up @ down||^2."""
        return max(self.dot(self), 0.0)

    def dot(self, other: LowRank) -> float:
        """Return <self, other> = sum((up^T up') * (down down'^T)), r x r' entries each."""
        return float(((self.up.T @ other.up) * (self.down @ other.down.T)).sum())

    def dot_dense(self, matrix: Tensor) -> float:
        """Return <self, matrix> for a float64 matrix [d_out, d_in]."""
        return float(((self.up.T @ matrix) * self.down).sum())

    def __add__(self, other: LowRank) -> LowRank:
        return LowRank(torch.cat([self.up, other.up], 1), torch.cat([self.down, other.down], 0))

    def __neg__(self) -> LowRank:
        return LowRank(-self.up, self.down)

    def __sub__(self, other: LowRank) -> LowRank:
        if self.up.shape != other.up.shape or self.down.shape != other.down.shape:
            return self + -other
        # B A - B' A' = (B - B') A + B' (A - A'): two close states differ by exactly what they differ by,
        # where [B, -B'] [A; A'] would leave the rounding of two large products.
        return LowRank(self.up - other.up, self.down) + LowRank(other.up, self.down - other.down)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread: thin products gain nothing from more, and on a busy machine wait for each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
