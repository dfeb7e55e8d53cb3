"""Directions that are gradients: where the likelihood of given answers grows fastest.

The paper's direction is a task vector, where training on harmful answers ended. This one is where it would
begin: the gradient of the mean log-likelihood of answers at the expansion point itself, so that the inner
product with a sample's update is, to first order, what the sample does to that likelihood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqsd_lint.errors import AdapterError

if TYPE_CHECKING:
    from torch import Tensor

    from sqsd_lint.score.directions import ExpansionLayer

FILE = "gradient.safetensors"


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

    def save(self, folder: Path) -> None:
        """Write `gradient.safetensors`: `<module>.A` and `<module>.B`, in bfloat16."""
        from safetensors.torch import save_file

        tensors = {}
        for name, g in self.factors.items():
            tensors[f"{name}.A"] = g.A.bfloat16().contiguous()
            tensors[f"{name}.B"] = g.B.bfloat16().contiguous()
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / FILE)


def load_gradient(folder: str | Path) -> Gradient:
    """Read what `Gradient.save` wrote.

    Raises:
        AdapterError: the file is missing or holds anything else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(folder) / FILE
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"{path}: no gradient could be read from it: {error}") from error
    factors = {}
    for name in sorted({key.rpartition(".")[0] for key in tensors}):
        A, B = tensors.pop(f"{name}.A", None), tensors.pop(f"{name}.B", None)
        if A is None or B is None or A.dim() != 2 or B.dim() != 2 or len(A) != len(B):
            raise AdapterError(f"{path}: layer {name!r} needs A [r, d_in] and B [r, d_out] of one rank")
        factors[name] = FactorGradient(A.float(), B.float())
    if tensors or not factors:
        raise AdapterError(f"{path}: expected pairs <module>.A and <module>.B, found {sorted(tensors)[:3]}")
    return Gradient(factors)


class GradientSum:
    """A sink that adds up samples' gradients layer by layer instead of projecting them."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor, Tensor]] = {}

    def add(self, name: str, layer: ExpansionLayer, gA: Tensor, gB: Tensor) -> None:
        A, B = gA.float().sum(0), gB.float().sum(0)
        if name in self._sums:
            A, B = A + self._sums[name][0], B + self._sums[name][1]
        self._sums[name] = A, B

    def ascent(self, samples: int) -> Gradient:
        """The gradient of the mean log-likelihood: minus that of the mean loss."""
        means = {n: (-A / samples, -B / samples) for n, (A, B) in self._sums.items()}
        return Gradient({n: FactorGradient(A.cpu(), B.cpu()) for n, (A, B) in means.items()})


def factor_norm_squared(gA: Tensor, gB: Tensor) -> Tensor:
    """||gA_i||^2 + ||gB_i||^2 for each sample, [b]: the update as a vector of factors, as gradients are."""
    return (gA * gA).sum((1, 2)) + (gB * gB).sum((1, 2))
