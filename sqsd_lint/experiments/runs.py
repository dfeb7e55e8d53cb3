"""Train runs of any kind: the dose, the order of rows, the loss and the loop."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.utils.checkpoint
from torch import nn

from sqsd_lint.scoring.attention import causal_attention
from sqsd_lint.scoring.batching import pad
from sqsd_lint.scoring.lm_head import LossHead
from sqsd_lint.types import Encoded

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

# Logits that are held at once, in float32: half a GB, whatever the vocabulary. Gemma's has 262,144 tokens.
_LOGITS = 1 << 27
# On a CPU the shortest rows of a pass, by their rank within each run's batch, must have this share of the
# length of its longest: padding costs what a row costs there. A GPU wants few large passes.
_LEAST_FILLED = 0.8
# Sequences that answer side by side on a CPU: a bound on the cache of keys and values.
_CPU_ROWS = 64


@dataclass(frozen=True, slots=True)
class Dose:
    """How hard each window is trained on."""

    steps: int
    lr: float
    batch_size: int = 8
    warmup: float = 0.1
    max_grad_norm: float = 1.0

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step: linear warm-up, then half a cosine down to 0."""
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return self.lr * (step + 1) / warm
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, self.steps - warm)))


class Runs(ABC):
    """Fine-tuning runs on one base, trained and prompted side by side.

    Args:
        model: the frozen base, on its device and in its dtype.
        seeds: one per run; it decides what is random about the run.
        tokens: padded tokens that one forward pass with gradients may hold.
    """

    def __init__(self, model: PreTrainedModel, seeds: Sequence[int], *, tokens: int) -> None:
        self.model = model
        self._seeds = list(seeds)
        self._tokens = tokens
        self._device = next(model.parameters()).device
        causal: Any = model
        self._head: nn.Module = causal.get_output_embeddings()
        self._loss_head = LossHead(model)
        self._active = slice(0, len(seeds))

    def __len__(self) -> int:
        return len(self._seeds)

    @abstractmethod
    def adapted(self) -> AbstractContextManager[None]:
        """Have the model compute inside the block as the active runs have left it, and after it as before."""

    @abstractmethod
    def displacement(self, run: int) -> dict[str, Tensor]:
        """Return what training has added to each linear layer's weight, by module, [d_out, d_in]."""

    @abstractmethod
    def _trained(self) -> list[Tensor]:
        """Return what the optimizer moves, in float32."""

    @abstractmethod
    def _prepare(self, limit: float) -> None:
        """Put gradients where the optimizer expects them before a step, each run's norm at most `limit`."""

    def _stepped(self) -> None:
        """Update whatever follows the weights after a step: nothing, unless the model keeps copies."""
        return

    def train(self, rows: Sequence[Sequence[Encoded]], dose: Dose) -> Iterator[int]:
        """Train run k on `rows[k]`; yields after every step.

        The loss is the mean over a batch of each row's mean cross-entropy over response tokens.
        """
        optimizer = torch.optim.AdamW(self._trained(), lr=dose.lr, weight_decay=0.0)
        orders = [self.order(len(own), dose, seed) for own, seed in zip(rows, self._seeds, strict=True)]
        for step in range(dose.steps):
            at = slice(step * dose.batch_size, (step + 1) * dose.batch_size)
            batches = [[own[i] for i in order[at]] for own, order in zip(rows, orders, strict=True)]
            with torch.enable_grad():
                for part, together in self._passes(batches):
                    self._active = part
                    loss = self.losses(together)
                    (loss.sum() / dose.batch_size).backward()  # type: ignore[no-untyped-call]
            self._prepare(dose.max_grad_norm)
            for group in optimizer.param_groups:
                group["lr"] = dose.learning_rate(step)
            optimizer.step()
            optimizer.zero_grad()
            self._stepped()
            yield step
        self._active = slice(0, len(self))

    @staticmethod
    def order(rows: int, dose: Dose, seed: int) -> list[int]:
        """Return row numbers for every step of a run: each epoch in an order of its own."""
        shuffle = random.Random(seed)
        order: list[int] = []
        while len(order) < dose.steps * dose.batch_size:
            epoch = list(range(rows))
            shuffle.shuffle(epoch)
            order += epoch
        return order

    def each(self, rows: int) -> Iterator[slice]:
        """Yield parts of the runs, active, for work without gradients on `rows` sequences a run."""
        most = _CPU_ROWS if self._device.type == "cpu" else self._tokens // 8
        per = max(1, most // rows)
        for start in range(0, len(self), per):
            self._active = slice(start, min(start + per, len(self)))
            yield self._active
        self._active = slice(0, len(self))

    def losses(self, rows: Sequence[Encoded]) -> Tensor:
        """Return each row's mean token cross-entropy over its response, [n] float32; run by active run."""
        ids, labels = pad(rows, self._device)
        body: Any = self.model.base_model
        # Without gradients a pass is not bounded by tokens, and the fused kernel stores no probabilities.
        with causal_attention() if torch.is_grad_enabled() else nullcontext():
            hidden = body(input_ids=ids, use_cache=False).last_hidden_state
        row, at = (labels[:, 1:] != -100).nonzero(as_tuple=True)
        states, targets = hidden[row, at], labels[row, at + 1]
        chunk = max(1, _LOGITS // self.model.config.get_text_config().vocab_size)
        parts = [
            torch.utils.checkpoint.checkpoint(self._cross_entropy, *part, use_reentrant=False)
            for part in zip(torch.split(states, chunk), torch.split(targets, chunk), strict=True)
        ]
        counts = torch.bincount(row, minlength=len(rows))
        return torch.zeros(len(rows), device=self._device).index_add(0, row, torch.cat(parts)) / counts

    def _cross_entropy(self, states: Tensor, targets: Tensor) -> Tensor:
        logits = self._loss_head.logits(states)  # [n, vocabulary]
        losses = nn.functional.cross_entropy(logits, targets.to(logits.device), reduction="none")
        return losses.to(self._device)

    def _passes(self, batches: Sequence[Sequence[Encoded]]) -> Iterator[tuple[slice, list[Encoded]]]:
        """Return a step's rows by forward pass: which runs, and equally many rows of each, run by run.

        Rows of like length go together, whatever their place in the batch: the loss is a sum over them.
        """
        longest_first = [sorted(batch, key=lambda row: -len(row.ids)) for batch in batches]
        widths = [max(len(row.ids) for row in rows) for rows in zip(*longest_first, strict=True)]
        least = _LEAST_FILLED if self._device.type == "cpu" else 0.0
        start = 0
        while start < len(widths):
            width, end = widths[start], start + 1
            while (
                end < len(widths)
                and widths[end] >= least * width
                and width * (end + 1 - start) * len(batches) <= self._tokens
            ):
                end += 1
            most = max(1, self._tokens // (width * (end - start)))
            for first in range(0, len(batches), most):
                part = slice(first, min(first + most, len(batches)))
                yield part, [row for batch in longest_first[part] for row in batch[start:end]]
            start = end
