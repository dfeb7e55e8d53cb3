"""A run whose states are LoRA adapters: everything stays low rank."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.adapters.peft_folder import inspect_adapter
from sqsd_lint.common.progress import Progress
from sqsd_lint.drift.directions import Axes, in_order
from sqsd_lint.drift.lowrank import LowRank, one_thread
from sqsd_lint.drift.trajectory import Point, Skipped, State, Trajectory, Walk
from sqsd_lint.errors import AdapterError


def read_state(folder: Path, start: Path | None = None) -> dict[str, LowRank]:
    """Read scaling * B @ A of every module of a PEFT folder.

    Args:
        start: the adapter that training began from, if it will be subtracted: PiSSA and its like need it.

    Raises:
        AdapterError: a file is missing or cut short, the adapter's kind has no such state, or a factor is
            not finite.
    """
    factors = load_adapter(folder, use="a run's state", start=start).factors
    return {name: LowRank.of_factors(f) for name, f in factors.items()}


@one_thread()
def measure_adapters(
    axes: Axes, states: Sequence[State], *, start: Path | None = None, progress: Progress | None = None
) -> Trajectory:
    """Measure the states one by one; three of them are in memory at a time.

    Args:
        start: an adapter to measure from. LoRA starts at 0, unless training went on from an adapter.

    Raises:
        AdapterError: no state can be read, or the run fine-tunes another model.
    """
    walk = Walk(axes, read_state(start, start) if start else None)
    points: list[Point] = []
    skipped: list[Skipped] = []
    modules: set[str] = set()
    if progress:
        progress.status("measuring checkpoints")
        progress.start(len(states))
    for state in states:
        try:
            read = read_state(state.folder, start)
        except AdapterError as error:
            skipped.append(Skipped(state, error.message, error.hint or ""))
            if len(skipped) == len(states):
                raise
            continue
        modules |= read.keys()
        if modules.isdisjoint(axes.modules):
            raise AdapterError(
                f"{state.folder}: the bundle has none of its {len(modules)} modules,"
                f" such as {in_order(modules)[0]}",
                hint="use the bundle of the model that the run fine-tunes (--bundle or --model)",
            )
        try:
            points.append(Point(state, walk.advance(read)))
        except AdapterError as error:
            raise AdapterError(f"{state.folder}: {error.message}", hint=error.hint) from error
        if progress:
            progress.advance(1)
    return Trajectory(
        kind="adapter",
        start=str(start) if start else "the base model",
        points=tuple(points),
        skipped=tuple(skipped),
        angle=axes.cosine,
        outside=in_order(modules - set(axes.modules)),
        untouched=untouched(axes, points),
        notes=_notes(points[0].state.folder, start),
    )


def _notes(folder: Path, start: Path | None) -> tuple[str, ...]:
    if (
        start is not None
        or inspect_adapter(folder, "a run's state").config.get("init_lora_weights") is not False
    ):
        return ()
    return ("init_lora_weights was false: B was not 0 at the start, which --start can name",)


def untouched(axes: Axes, points: Sequence[Point]) -> tuple[str, ...]:
    """The directions' layers that lie in every state where they lay at the start."""
    moved = {layer.module for point in points for layer in point.move.total.layers if layer.norm > 0}
    return tuple(name for name in axes.modules if name not in moved)
