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


# Drifts are scaled by this power of two before they are added, since the sum of what is finite may not be.
_SCALE = 2.0**-100


class FileDrift:
    """How far a file's rows go along the danger direction, in the unit of `Score.drift`; signed.

    Every row is taken to push all along as it does at the expansion point: the first-order sum over all
    steps of plain SGD. It is exact until it is rounded once (Shewchuk's partial sums, as in `math.fsum`), so
    that the order of the rows plays no part.
    """

    def __init__(self, fine_tune: FineTuneSettings) -> None:
        self._factor = fine_tune.factor
        self._partials: list[float] = []
        self._known = True

    def add(self, drift: float) -> None:
        """Take `Score.drift` of one more row."""
        if not math.isfinite(drift):
            self._known = False
            return
        value = drift * _SCALE
        kept = 0
        for partial in self._partials:
            if abs(value) < abs(partial):
                value, partial = partial, value
            total = value + partial
            rest = partial - (total - value)
            if rest:
                self._partials[kept] = rest
                kept += 1
            value = total
        self._partials[kept:] = [value]

    def total(self) -> float:
        """Return the drift of all rows; NaN if that of any row is unknown."""
        return math.fsum(self._partials) * self._factor / _SCALE if self._known else math.nan


def file_drift(drifts: Iterable[float], fine_tune: FineTuneSettings) -> float:
    """Return `FileDrift.total` of rows with these drifts."""
    found = FileDrift(fine_tune)
    for drift in drifts:
        found.add(drift)
    return found.total()
