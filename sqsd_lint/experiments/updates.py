"""Train the runs of an experiment: LoRA adapters side by side, or all parameters one run after another.

The LoRA runs of an experiment differ in their rows and seeds alone. One forward pass over the rows of
all of them shares the base's matrix products, and each run's factors see the rows of its own: a batched
product per layer. Every run takes exactly the steps that it would take alone, since no run's loss reaches
another's factors.

Runs of all parameters leave the model as it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sqsd_lint.adapters.linear_modules import is_linear, linear_shape
from sqsd_lint.experiments.runs import Runs
from sqsd_lint.scoring.linear import bias_of, replaced, weight_of

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


class LoraRuns(Runs):
    """The factors of R adapters and how the model runs with them.

    Args:
        seeds: R of them; each decides one run's random A and the order of its rows.
        model, tokens: as in `Runs`.
    """

    def __init__(
        self, model: PreTrainedModel, seeds: Sequence[int], *, r: int = 8, alpha: int = 16, tokens: int
    ) -> None:
        super().__init__(model, seeds, tokens=tokens)
        self._scaling = alpha / r
        self._modules = {n: m for n, m in model.named_modules() if is_linear(m) and m is not self._head}
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._A: dict[str, Tensor] = {}  # [R, r, d_in]
        self._B: dict[str, Tensor] = {}  # [R, r, d_out]
        for name, module in self._modules.items():
            d_out, d_in = linear_shape(module)
            bound = 1 / math.sqrt(d_in)  # PEFT's Kaiming-uniform start of A; B starts at 0
            A = torch.stack(
                [torch.rand(r, d_in, generator=g).mul_(2 * bound).sub_(bound) for g in generators]
            )
            self._A[name] = A.to(self._device).requires_grad_()
            self._B[name] = torch.zeros(len(seeds), r, d_out, device=self._device).requires_grad_()

    @contextmanager
    def adapted(self) -> Iterator[None]:
        """Put the adapters of the active runs on the model's linear layers inside the block."""
        with replaced((module, self._forward(name, module)) for name, module in self._modules.items()):
            yield

    def _forward(self, name: str, module: nn.Module) -> Any:
        def forward(x: Tensor) -> Tensor:  # [runs * b, t, d_in]
            y = nn.functional.linear(x, weight_of(module, x.dtype), bias_of(module))
            A, B = self._A[name][self._active], self._B[name][self._active]
            rows = x.reshape(len(A), -1, x.shape[-1])  # [runs, b * t, d_in]
            low = torch.bmm(rows, A.to(x.dtype).transpose(1, 2))
            return y + (torch.bmm(low, B.to(x.dtype)) * self._scaling).view(y.shape)

        return forward

    def displacement(self, run: int) -> dict[str, Tensor]:
        """Return scaling B A of one run by module, [d_out, d_in]."""
        return {n: (self._B[n][run].T @ self._A[n][run] * self._scaling).detach() for n in self._modules}

    def starts(self) -> dict[str, Tensor]:
        """Return A of every module, [R, r, d_in]."""
        return self._A

    def _trained(self) -> list[Tensor]:
        return [*self._A.values(), *self._B.values()]

    def _prepare(self, limit: float) -> None:
        """Clip each run's gradient by its own norm, as it would be alone."""
        gradients = [f.grad for f in self._trained() if f.grad is not None]
        norms = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt()  # [R]
        factors = (limit / (norms + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(factors.view(-1, 1, 1))


class FullRun(Runs):
    """One run that trains all parameters: embeddings, norms and head too.

    The model keeps its dtype; the optimizer moves float32 masters, since a bfloat16 weight would swallow
    most steps at the learning rates of full fine-tuning. They take 16 bytes a parameter with their moments.

    Args:
        model, tokens: as in `Runs`; the model's weights must be whole, neither packed nor spread.
        seed: decides the order of rows.
    """

    def __init__(self, model: PreTrainedModel, seed: int, *, tokens: int) -> None:
        super().__init__(model, [seed], tokens=tokens)
        # A head that is tied to the embeddings comes once.
        self._names, self._weights = zip(*model.named_parameters(), strict=True)
        self._start: list[Tensor] = []
        self._masters: list[Tensor] = []

    @contextmanager
    def adapted(self) -> Iterator[None]:
        """Put the run's parameters into the model inside the block, with gradients on."""
        self._start = [weight.detach().clone() for weight in self._weights]
        # A clone of its own even in float32, where `float()` alone would hand out the weight itself.
        self._masters = [weight.detach().float().clone() for weight in self._weights]
        wanted = [weight.requires_grad for weight in self._weights]
        try:
            for weight in self._weights:
                weight.requires_grad_(True)
            yield
        finally:
            with torch.no_grad():
                for weight, start, want in zip(self._weights, self._start, wanted, strict=True):
                    weight.copy_(start)
                    weight.requires_grad_(want)
                    weight.grad = None
            self._masters = []

    def weights(self) -> dict[str, Tensor]:
        """Return the run's parameters by name, in float32; inside `adapted` alone."""
        return dict(zip(self._names, self._masters, strict=True))

    def displacement(self, run: int) -> dict[str, Tensor]:
        """Return W - W0 of every linear layer but the head, [d_out, d_in] float32; inside `adapted` alone."""
        del run  # there is one
        moved = {id(w): m - s for w, m, s in zip(self._weights, self._masters, self._start, strict=True)}
        found = {}
        for name, module in self.model.named_modules():
            if is_linear(module) and module is not self._head:
                delta = moved[id(module.weight)]
                found[name] = delta if isinstance(module, torch.nn.Linear) else delta.T  # Conv1D's
        return found

    def _trained(self) -> list[Tensor]:
        return self._masters

    def _prepare(self, limit: float) -> None:
        """Hand the gradients to the masters and clip them together."""
        for weight, master in zip(self._weights, self._masters, strict=True):
            master.grad = None if weight.grad is None else weight.grad.float()
            weight.grad = None
        torch.nn.utils.clip_grad_norm_(self._masters, limit)

    @torch.no_grad()
    def _stepped(self) -> None:
        for weight, master in zip(self._weights, self._masters, strict=True):
            weight.copy_(master)
