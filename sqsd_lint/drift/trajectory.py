"""Hold what is measured of a run: where each of its states lies, and how the last step led there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqsd_lint.drift.directions import WeightDirections
from sqsd_lint.drift.displacement import Drift

RunKind = Literal["adapter", "weights"]


@dataclass(frozen=True, slots=True)
class State:
    """One saved state of a run.

    Attributes:
        label: the optimizer step as text, or "final" for the run's own folder.
        step: None where the folder does not name it.
    """

    label: str
    step: int | None
    folder: Path


@dataclass(frozen=True, slots=True)
class Skipped:
    """A state that could not be read, and why."""

    state: State
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class StateDrift:
    """Where one state lies, and how the last step led there.

    Attributes:
        total: the displacement from the start.
        last: the displacement from the state before, for the first one from the start.
        turn: the cosine of `last` with the step before it: 1 is straight on; NaN for the first step, and
            where one of the two is 0.
    """

    total: Drift
    last: Drift
    turn: float


@dataclass(frozen=True, slots=True)
class Point:
    """A state and its move."""

    state: State
    move: StateDrift


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A run, measured.

    Attributes:
        kind: whether states are adapters or full weights.
        start: what displacements are measured from, in words.
        points: in the order of steps.
        skipped: states that could not be read.
        angle: the cosine between danger and safety.
        outside: what the run moves and neither direction has: modules of an adapter, tensors of full weights.
        untouched: layers of the directions that the run has not moved in any state.
        notes: what else a reader has to know.
    """

    kind: RunKind
    start: str
    points: tuple[Point, ...]
    skipped: tuple[Skipped, ...]
    angle: float
    outside: tuple[str, ...]
    untouched: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def unfinished(self) -> bool:
        """Return whether all that was skipped is the newest state, as in a run that is still writing it."""
        if len(self.skipped) != 1:
            return False
        newest = self.skipped[0].state.step
        steps = [point.state.step for point in self.points]
        return newest is None or all(step is not None and step < newest for step in steps)


def untouched_layers(directions: WeightDirections, points: Sequence[Point]) -> tuple[str, ...]:
    """Return the directions' layers that lie in every state where they lay at the start."""
    moved = {layer.module for point in points for layer in point.move.total.layers if layer.norm > 0}
    return tuple(name for name in directions.modules if name not in moved)
