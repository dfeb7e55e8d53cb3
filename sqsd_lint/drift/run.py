"""A run folder measured along a bundle's directions, whichever kind of states it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sqsd_lint.drift.adapters import measure_adapters
from sqsd_lint.drift.axes import Axes
from sqsd_lint.drift.full import Start, measure_weights
from sqsd_lint.drift.states import WORDS, find_states, kind_of
from sqsd_lint.drift.trajectory import Trajectory
from sqsd_lint.errors import UsageError
from sqsd_lint.progress import Progress


def measure(
    run: Path,
    axes: Axes,
    *,
    base: Callable[[], Start],
    start: Path | None = None,
    progress: Progress | None = None,
) -> Trajectory:
    """Measure every state of a run.

    Args:
        base: where full weights start if `start` is not named; asked for only then.
        start: the state that training began from, an adapter or a model folder like the run's own.

    Raises:
        UsageError: no such folder, or a start of another kind.
        CannotScoreError: no state can be read, or the run fine-tunes another model.
    """
    kind, states, notes = find_states(run)
    if start is not None and kind_of(start) != kind:
        what = WORDS[own] if (own := kind_of(start)) else "no weights"
        raise UsageError(
            f"--start: {start} holds {what}, the run {WORDS[kind]}",
            hint="name the folder that the training began from, of the same kind",
        )
    if kind == "adapter":
        found = measure_adapters(axes, states, start=start, progress=progress)
    else:
        began = Start(start, str(start)) if start is not None else base()
        found = measure_weights(axes, states, began, progress=progress)
    return replace(found, notes=(*notes, *found.notes))
