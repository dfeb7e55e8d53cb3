"""How far a fine-tune on a file's rows moves the weights towards danger, to first order."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from sqsd_lint.errors import UsageError


@dataclass(frozen=True, slots=True)
class FineTuneSettings:
    """The fine-tune that a file's drift is stated for.

    Attributes:
        learning_rate: the peak; a schedule that lowers it moves the weights less.
        epochs: how often every row is seen.
        batch_size: rows per optimizer step, whose gradients are averaged.

    Raises:
        UsageError: a value that is not a positive, finite number.
    """

    learning_rate: float = 1e-4
    epochs: float = 3
    batch_size: int = 8

    def __post_init__(self) -> None:
        for name in ("learning_rate", "epochs", "batch_size"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name.replace('_', '-')} is {value}, expected a positive number")

    @property
    def factor(self) -> float:
        """The SGD steps of size 1 that one row amounts to."""
        return self.learning_rate * self.epochs / self.batch_size

    def __str__(self) -> str:
        return f"learning rate {self.learning_rate:g}, {self.epochs:g} epochs, batch size {self.batch_size:,}"


def file_drift(drifts: Iterable[float], fine_tune: FineTuneSettings) -> float:
    """Return how far the rows go along the danger direction, in the unit of `Score.drift`; signed.

    Every row is taken to push all along as it does at the expansion point: the first-order sum over all
    steps of plain SGD.

    Args:
        drifts: `Score.drift` of each row.

    Returns:
        NaN if the drift of any row is unknown.
    """
    known = list(drifts)
    if not all(map(math.isfinite, known)):
        return math.nan
    # Scaled first, since the sum of what is finite may not be.
    return math.fsum(drift * fine_tune.factor / len(known) for drift in known) * len(known)
