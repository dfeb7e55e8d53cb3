"""Fine-tune all parameters of a model, one run at a time, and put them back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from sqsd_lint.adapters.linear_modules import is_linear
from sqsd_lint.experiments.runs import Runs

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


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
