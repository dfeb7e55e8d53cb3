"""Measure a run along a bundle's directions: its checkpoints in the order of steps, and the folder itself.

States that are LoRA adapters stay low rank throughout; those that are full weights are measured in `full`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.adapters.peft_folder import inspect_adapter, is_adapter
from sqsd_lint.common.json_io import read_json
from sqsd_lint.common.progress import Progress
from sqsd_lint.drift.directions import WeightDirections, in_order, ratio
from sqsd_lint.drift.displacement import dot, minus, project
from sqsd_lint.drift.full import Start, measure_weights
from sqsd_lint.drift.lowrank import LowRank, one_thread
from sqsd_lint.drift.trajectory import (
    Point,
    RunKind,
    Skipped,
    State,
    StateDrift,
    Trajectory,
    untouched_layers,
)
from sqsd_lint.errors import AdapterError, CannotScoreError, UsageError

_CHECKPOINT = re.compile(r"checkpoint-(\d{1,12})")
_STEP_STATE = "trainer_state.json"


def find_states(run: Path) -> tuple[RunKind, list[State], list[str]]:
    """Return the states of a run, as the Trainer lays them out.

    Returns:
        What they are, the states in order, and notes. A checkpoint is listed however broken it is.

    Raises:
        UsageError: there is no such folder.
        CannotScoreError: it holds neither checkpoints nor weights.
    """
    if not run.is_dir():
        raise UsageError(f"{run}: no such folder", hint="name the output_dir of a fine-tuning run")
    found = [
        State(match[1], int(match[1]), folder)
        for folder in run.iterdir()
        if (match := _CHECKPOINT.fullmatch(folder.name)) and folder.is_dir()
    ]
    states = sorted(found, key=lambda s: (s.step or 0, s.folder.name))
    kinds = [kind for state in states if (kind := kind_of(state.folder))]
    own, notes = kind_of(run), []
    if own is not None and kinds and own != kinds[0]:
        notes.append(f"the run's own folder holds {WORDS[own]}, its checkpoints {WORDS[kinds[0]]}: left out")
    elif own is not None:
        states.append(State("final", _last_step(run), run))
        kinds.append(own)
    if not states:
        raise CannotScoreError(
            f"{run}: neither checkpoint-* folders nor weights in it",
            hint="name the output_dir of a run that saved adapters or full weights as safetensors",
        )
    return (kinds[0] if kinds else "weights"), states, notes


WORDS: dict[RunKind, str] = {"adapter": "an adapter", "weights": "full weights"}


def kind_of(folder: Path) -> RunKind | None:
    """Return whether a folder holds a PEFT adapter or full weights, finished or not; None for neither."""
    if is_adapter(folder):
        return "adapter"
    if any(folder.glob("*.safetensors")) or any(folder.glob("pytorch_model*.bin")):
        return "weights"
    return None


def _last_step(run: Path) -> int | None:
    """Return the step at which a run ended, if the Trainer's state was saved beside the weights."""
    try:
        step = read_json(run / _STEP_STATE)["global_step"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return step if isinstance(step, int) and not isinstance(step, bool) and step >= 0 else None


def measure(
    run: Path,
    directions: WeightDirections,
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
        found = measure_adapters(directions, states, start=start, progress=progress)
    else:
        began = Start(start, str(start)) if start is not None else base()
        found = measure_weights(directions, states, began, progress=progress)
    return replace(found, notes=(*notes, *found.notes))


class LowRankSteps:
    """Measure states that are low rank one after another, as they come; the last two steps are kept.

    Args:
        start: the state to measure from; by default the base, where every module is 0.
    """

    def __init__(self, directions: WeightDirections, start: Mapping[str, LowRank] | None = None) -> None:
        self._directions = directions
        self._start: Mapping[str, LowRank] = start or {}
        self._before = self._start
        self._step: Mapping[str, LowRank] = {}

    def advance(self, state: Mapping[str, LowRank]) -> StateDrift:
        """Go on to the next state: scaling * B @ A of each of its modules.

        Raises:
            AdapterError: a module has another shape than in the bundle.
        """
        step = minus(state, self._before)
        total = project(self._directions, minus(state, self._start))
        turn = ratio(dot(step, self._step), math.sqrt(dot(step, step) * dot(self._step, self._step)))
        self._before, self._step = state, step
        return StateDrift(total, project(self._directions, step), turn)


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
    directions: WeightDirections,
    states: Sequence[State],
    *,
    start: Path | None = None,
    progress: Progress | None = None,
) -> Trajectory:
    """Measure the states one by one; three of them are in memory at a time.

    Args:
        start: an adapter to measure from. LoRA starts at 0, unless training went on from an adapter.

    Raises:
        AdapterError: no state can be read, or the run fine-tunes another model.
    """
    walk = LowRankSteps(directions, read_state(start, start) if start else None)
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
        if modules.isdisjoint(directions.modules):
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
        angle=directions.cosine,
        outside=in_order(modules - set(directions.modules)),
        untouched=untouched_layers(directions, points),
        notes=_notes(points[0].state.folder, start),
    )


def _notes(folder: Path, start: Path | None) -> tuple[str, ...]:
    if (
        start is not None
        or inspect_adapter(folder, "a run's state").config.get("init_lora_weights") is not False
    ):
        return ()
    return ("init_lora_weights was false: B was not 0 at the start, which --start can name",)
