"""Follow a run through its states: where each of them lies, and which way the last step went."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqsd_lint.drift.directions import Axes, ratio
from sqsd_lint.drift.displacement import Drift, dot, minus, project
from sqsd_lint.drift.lowrank import LowRank

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


class Walk:
    """Measure states that are low rank one after another, as they come; the last two steps are kept.

    Args:
        start: the state to measure from; by default the base, where every module is 0.
    """

    def __init__(self, axes: Axes, start: Mapping[str, LowRank] | None = None) -> None:
        self._axes = axes
        self._start: Mapping[str, LowRank] = start or {}
        self._before = self._start
        self._step: Mapping[str, LowRank] = {}

    def advance(self, state: Mapping[str, LowRank]) -> StateDrift:
        """Go on to the next state: scaling * B @ A of each of its modules.

        Raises:
            AdapterError: a module has another shape than in the bundle.
        """
        step = minus(state, self._before)
        total = project(self._axes, minus(state, self._start))
        turn = ratio(dot(step, self._step), math.sqrt(dot(step, step) * dot(self._step, self._step)))
        self._before, self._step = state, step
        return StateDrift(total, project(self._axes, step), turn)
