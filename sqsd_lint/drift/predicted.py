"""Predicted against actual drift: what the scores of a file's rows foresee, and what training on it does.

The prediction is made as SQSD201 makes it: every row's first-order update at the expansion point, summed up
as plain SGD would. The other side is LoRA training with PEFT and torch's own optimizers from that same point.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from sqsd_lint.adapters.factors import Adapter, LoraFactors
from sqsd_lint.drift.directions import WeightDirections
from sqsd_lint.drift.displacement import minus
from sqsd_lint.drift.lowrank import LowRank
from sqsd_lint.drift.model_drift import adapter_state
from sqsd_lint.rules.fine_tune import FineTuneSettings
from sqsd_lint.scoring.attention import causal_attention
from sqsd_lint.scoring.batching import pad
from sqsd_lint.scoring.directions import Direction
from sqsd_lint.scoring.lm_head import LossHead
from sqsd_lint.scoring.scorer import Scorer
from sqsd_lint.types import Encoded

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

Optimizer = Literal["sgd", "adamw"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one row does along danger and safety at the expansion point.

    Attributes:
        danger, safety: <update of one SGD step of size 1, V> / ||V||, a length in the unit of the weights.
    """

    danger: float
    safety: float


class Forecaster:
    """Forecast rows along a bundle's directions, for either kind of direction.

    SQSD201 takes a margin gradient's drift in nats. Here it is a length along the direction, as a run's drift
    is, so that the two are the same quantity.

    Args:
        model: the frozen base.
        point: the expansion point, from where training is forecast.
    """

    def __init__(self, model: PreTrainedModel, directions: WeightDirections, point: Adapter) -> None:
        self._norms = directions.danger.norm, directions.safety.norm
        self._scorer = Scorer(
            model,
            [
                Direction(name, _adapter(direction.layers), point)
                for name, direction in (("danger", directions.danger), ("safety", directions.safety))
            ],
        )

    def rows(self, rows: Sequence[Encoded]) -> list[Forecast]:
        """Return one forecast for each row."""
        shares = self._scorer.project(rows).drift
        lengths = (shares * torch.tensor(self._norms, dtype=torch.float64)).tolist()
        return [Forecast(danger, safety) for danger, safety in lengths]


def _adapter(layers: Mapping[str, LowRank]) -> Adapter:
    """Return the direction as an adapter whose scaling * B @ A it is."""
    return Adapter({n: LoraFactors(A=v.down.float(), B=v.up.float(), scaling=1.0) for n, v in layers.items()})


class FineTune:
    """LoRA training on a frozen base, again and again from one adapter, without dropout.

    Args:
        model: the base, on its device and in its dtype; PEFT puts its layers into it until `unload`.
        start: the PEFT folder of the adapter that every training starts from.
    """

    def __init__(self, model: PreTrainedModel, start: Path) -> None:
        from peft import PeftModel

        self.model = PeftModel.from_pretrained(model, str(start), is_trainable=True).eval()
        self._causal = model
        self._body = model.base_model
        self._head = LossHead(model)
        self._trained = [p for p in self.model.parameters() if p.requires_grad]
        self._start = [p.detach().clone() for p in self._trained]
        self._origin = adapter_state(self.model)

    def run(
        self, rows: Sequence[Encoded], training: FineTuneSettings, optimizer: Optimizer, *, seed: int = 0
    ) -> float:
        """Train on `rows` at a constant learning rate; the model then holds the result.

        The loss of a step is the mean over its rows of each row's mean cross-entropy over response tokens.
        The last step of an epoch takes the rows that are left, and its gradient is divided by `batch_size`
        all the same: every row weighs what SQSD201 says it does.

        Args:
            training: `epochs` is rounded to a whole number of passes.

        Returns:
            Mean loss over the last epoch, in nats.
        """
        with torch.no_grad():
            for p, value in zip(self._trained, self._start, strict=True):
                p.copy_(value)
        steps: torch.optim.Optimizer
        if optimizer == "sgd":
            steps = torch.optim.SGD(self._trained, lr=training.learning_rate)
        else:
            steps = torch.optim.AdamW(self._trained, lr=training.learning_rate, weight_decay=0.0)
        shuffle = random.Random(seed)
        losses: list[float] = []
        for _ in range(max(1, round(training.epochs))):
            order = list(range(len(rows)))
            shuffle.shuffle(order)
            losses = []
            for at in range(0, len(order), training.batch_size):
                losses += self._backward([rows[i] for i in order[at : at + training.batch_size]], training)
                steps.step()
                steps.zero_grad()
        return math.fsum(losses) / len(losses)

    def displacement(self) -> dict[str, LowRank]:
        """Return what the last training has added to each weight."""
        return minus(adapter_state(self.model), self._origin)

    def unload(self) -> None:
        """Take PEFT's layers out of the base."""
        self.model.unload()

    def _backward(self, rows: Sequence[Encoded], training: FineTuneSettings) -> list[float]:
        """Add a step's gradient to the factors' and return each row's loss."""
        ids, labels = pad(rows, self._trained[0].device)
        with causal_attention():
            hidden: Tensor = self._body(input_ids=ids, use_cache=False).last_hidden_state  # [b, t, d]
            row, at = (labels[:, 1:] != -100).nonzero(as_tuple=True)
            counts = torch.bincount(row, minlength=len(ids)).float()  # [b]
            loss, gradient = self._head.loss(
                hidden.detach()[row, at], labels[row, at + 1], (1 / counts[row]) / training.batch_size
            )
            full = torch.zeros_like(hidden)
            full[row, at] = gradient
            hidden.backward(full)  # type: ignore[no-untyped-call]
        found: list[float] = (torch.zeros_like(counts).index_add_(0, row, loss) / counts).tolist()
        return found
