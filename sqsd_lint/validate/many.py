"""Many LoRA runs side by side on one frozen base.

The runs of a risk-window experiment differ in their rows and seeds alone. One forward pass over the rows of
all of them shares the base's matrix products, and each run's factors see the rows of its own: a batched
product per layer. Every run takes exactly the steps that it would take alone, since no run's loss reaches
another's factors.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.utils.checkpoint
from torch import nn

from sqsd_lint.score.batching import pad
from sqsd_lint.score.linear import is_linear, linear_shape, weight_of
from sqsd_lint.types import Encoded

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Dose:
    """How hard each window is trained on."""

    steps: int
    lr: float
    batch_size: int = 8
    warmup: float = 0.1
    max_grad_norm: float = 1.0

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to 0."""
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return self.lr * (step + 1) / warm
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, self.steps - warm)))


class Runs:
    """The factors of R adapters and how the model runs with them.

    Args:
        model: the frozen base, on its device and in its dtype.
        seeds: R of them; each decides one run's random A and the order of its rows.
        tokens: padded tokens that one forward pass with gradients may hold.
    """

    def __init__(
        self, model: PreTrainedModel, seeds: Sequence[int], *, r: int = 8, alpha: int = 16, tokens: int
    ) -> None:
        self.model = model
        self._seeds = list(seeds)
        self._scaling = alpha / r
        self._tokens = tokens
        self._device = next(model.parameters()).device
        causal: Any = model
        head = causal.get_output_embeddings()
        self._head: Tensor = head.weight  # [vocabulary, d]
        self._modules = {n: m for n, m in model.named_modules() if is_linear(m) and m is not head}
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
        self._factors = [*self._A.values(), *self._B.values()]
        self._active = slice(0, len(seeds))

    def __len__(self) -> int:
        return len(self._seeds)

    @contextmanager
    def adapted(self) -> Iterator[None]:
        """Inside, the model's linear layers carry the adapters of the active runs."""
        try:
            for name, module in self._modules.items():
                module.forward = self._forward(name, module)
            yield
        finally:
            for module in self._modules.values():
                del module.forward

    def _forward(self, name: str, module: nn.Module) -> Any:
        weight, bias = weight_of(module), module.bias

        def forward(x: Tensor) -> Tensor:  # [runs * b, t, d_in]
            y = nn.functional.linear(x, weight, bias)  # type: ignore[arg-type]
            A, B = self._A[name][self._active], self._B[name][self._active]
            rows = x.reshape(len(A), -1, x.shape[-1])  # [runs, b * t, d_in]
            low = torch.bmm(rows, A.to(x.dtype).transpose(1, 2))
            return y + (torch.bmm(low, B.to(x.dtype)) * self._scaling).view(y.shape)

        return forward

    def train(self, rows: Sequence[Sequence[Encoded]], dose: Dose) -> Iterator[int]:
        """Train run k on `rows[k]`; yields after every step.

        The loss is the mean over a batch of each row's mean cross-entropy over response tokens.
        """
        optimizer = torch.optim.AdamW(self._factors, lr=dose.lr, weight_decay=0.0)
        orders = [_order(len(own), dose, seed) for own, seed in zip(rows, self._seeds, strict=True)]
        for step in range(dose.steps):
            at = slice(step * dose.batch_size, (step + 1) * dose.batch_size)
            batches = [[own[i] for i in order[at]] for own, order in zip(rows, orders, strict=True)]
            with torch.enable_grad():
                for part in self._parts(batches):
                    self._active = part
                    loss = self.losses([row for batch in batches[part] for row in batch])
                    (loss.sum() / dose.batch_size).backward()  # type: ignore[no-untyped-call]
            self._clip(dose.max_grad_norm)
            for group in optimizer.param_groups:
                group["lr"] = dose.learning_rate(step)
            optimizer.step()
            optimizer.zero_grad()
            yield step
        self._active = slice(0, len(self))

    def displacement(self, run: int) -> dict[str, Tensor]:
        """scaling B A of one run by module, [d_out, d_in]: what training has added to each weight."""
        return {n: (self._B[n][run].T @ self._A[n][run] * self._scaling).detach() for n in self._modules}

    def starts(self) -> dict[str, Tensor]:
        """A of every module, [R, r, d_in]."""
        return self._A

    @staticmethod
    def order(rows: int, dose: Dose, seed: int) -> list[int]:
        """Row numbers for every step of a run: each epoch in an order of its own."""
        return _order(rows, dose, seed)

    def each(self, rows: int) -> Iterator[slice]:
        """Parts of the runs for work without gradients on `rows` sequences a run; the part is active."""
        per = max(1, self._tokens // 8 // rows)
        for start in range(0, len(self), per):
            self._active = slice(start, min(start + per, len(self)))
            yield self._active
        self._active = slice(0, len(self))

    def losses(self, rows: Sequence[Encoded]) -> Tensor:
        """Mean token cross-entropy over each row's response, [n] float32; rows of the active runs in turn."""
        ids, labels = pad(rows, self._device)
        body: Any = self.model.base_model
        hidden = body(input_ids=ids, use_cache=False).last_hidden_state
        row, at = (labels[:, 1:] != -100).nonzero(as_tuple=True)
        states, targets = hidden[row, at], labels[row, at + 1]
        parts = [
            torch.utils.checkpoint.checkpoint(
                self._cross_entropy, states[i : i + _CHUNK], targets[i : i + _CHUNK], use_reentrant=False
            )
            for i in range(0, len(states), _CHUNK)
        ]
        counts = torch.bincount(row, minlength=len(rows))
        return torch.zeros(len(rows), device=self._device).index_add(0, row, torch.cat(parts)) / counts

    def _cross_entropy(self, states: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy((states @ self._head.T).float(), targets, reduction="none")

    def _parts(self, batches: Sequence[Sequence[Encoded]]) -> Iterator[slice]:
        start = longest = 0
        for k, batch in enumerate(batches):
            own = max(len(row.ids) for row in batch)
            if k > start and max(longest, own) * len(batch) * (k + 1 - start) > self._tokens:
                yield slice(start, k)
                start, longest = k, 0
            longest = max(longest, own)
        yield slice(start, len(batches))

    def _clip(self, limit: float) -> None:
        """Clip each run's gradient by its own norm, as it would be alone."""
        gradients = [f.grad for f in self._factors if f.grad is not None]
        norms = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt()  # [R]
        factors = (limit / (norms + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(factors.view(-1, 1, 1))


# Positions whose logits are held at once, in float32 [chunk, vocabulary].
_CHUNK = 8192


def _order(rows: int, dose: Dose, seed: int) -> list[int]:
    """Row numbers for every step: each epoch in an order of its own."""
    shuffle = random.Random(seed)
    order: list[int] = []
    while len(order) < dose.steps * dose.batch_size:
        epoch = list(range(rows))
        shuffle.shuffle(epoch)
        order += epoch
    return order
