"""A run folder measured along a bundle's directions, whichever kind of states it holds.

Which states a run folder holds: its checkpoints in the order of steps, and the folder itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sqsd_lint.adapters.peft_folder import is_adapter
from sqsd_lint.common.json_io import read_json
from sqsd_lint.common.progress import Progress
from sqsd_lint.drift.adapters import measure_adapters
from sqsd_lint.drift.directions import Axes
from sqsd_lint.drift.full import Start, measure_weights
from sqsd_lint.drift.trajectory import RunKind, State, Trajectory
from sqsd_lint.errors import CannotScoreError, UsageError

_CHECKPOINT = re.compile(r"checkpoint-(\d{1,12})")
_STEP_STATE = "trainer_state.json"


def find_states(run: Path) -> tuple[RunKind, list[State], list[str]]:
    """The states of a run, as the Trainer lays them out.

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
    """Whether a folder holds a PEFT adapter or full weights, finished or not; None for neither."""
    if is_adapter(folder):
        return "adapter"
    if any(folder.glob("*.safetensors")) or any(folder.glob("pytorch_model*.bin")):
        return "weights"
    return None


def _last_step(run: Path) -> int | None:
    """The step at which a run ended, if the Trainer's state was saved beside the weights."""
    try:
        step = read_json(run / _STEP_STATE)["global_step"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return step if isinstance(step, int) and not isinstance(step, bool) and step >= 0 else None


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
