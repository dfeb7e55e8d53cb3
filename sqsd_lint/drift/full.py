"""A run whose states are full weights: streamed from disk, every byte read once.

All states are walked through together, tensor by tensor and block by block, so that memory holds a few
blocks however large the model is and however many checkpoints there are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqsd_lint.drift.adapters import untouched
from sqsd_lint.drift.axes import Axes, in_order, ratio
from sqsd_lint.drift.displacement import drift_of
from sqsd_lint.drift.lowrank import LowRank
from sqsd_lint.drift.tensors import Moved, Stored, walk_through
from sqsd_lint.drift.trajectory import Move, Point, Skipped, State, Trajectory
from sqsd_lint.drift.weights import Weights, match_names, stored_transposed
from sqsd_lint.errors import ModelError
from sqsd_lint.progress import Progress


@dataclass(frozen=True, slots=True)
class Start:
    """What full weights are measured from.

    Attributes:
        folder: of the model.
        name: for the reader.
        adapter: scaling * B @ A by module, merged into the weights before training began; mostly none.
        transposed: whether square layers lie on disk as [d_in, d_out], should no other layer tell.
    """

    folder: Path
    name: str
    adapter: Mapping[str, LowRank] = field(default_factory=dict)
    transposed: bool = False


@dataclass(frozen=True, slots=True)
class _Opened:
    """A state whose files are there: its weights, and its tensors under the names that the start has."""

    state: State
    weights: Weights
    names: Mapping[str, str]


def measure_weights(
    axes: Axes, states: Sequence[State], start: Start, *, progress: Progress | None = None
) -> Trajectory:
    """Measure all states in one pass over their files.

    Raises:
        ModelError: the start or every state cannot be read, or the run fine-tunes another model.
    """
    begin = Weights(start.folder)
    layers = _layers(axes, start, begin)
    opened, skipped = _open(states, begin, layers)
    tensors, left_out = _tensors(axes, start, begin, layers, opened)
    places = [begin, *(each.weights for each in opened)]
    if progress:
        progress.status(f"measuring {len(opened)} checkpoints")
        progress.start(len(tensors))
    moved: dict[str, list[Moved]] = {}
    for tensor in tensors:
        moved[tensor.module] = walk_through(tensor, places)
        if progress:
            progress.advance(1)
    points = []
    for k, each in enumerate(opened):
        move = _move(axes, moved, k)
        if math.isfinite(move.total.norm + move.total.outside):
            points.append(Point(each.state, move))
        else:
            skipped.append(Skipped(each.state, f"{each.state.folder}: the weights hold NaN or infinity"))
    if not points:
        raise ModelError(skipped[-1].reason, hint="the training has diverged: there is no drift to measure")
    known = set(axes.modules)
    outside = {n for n, each in moved.items() if n not in known and any(m.total.square > 0 for m in each)}
    notes = [f"{left_out} tensors are not in every state in one shape: left out"] if left_out else []
    return Trajectory(
        kind="weights",
        start=start.name,
        points=tuple(points),
        skipped=tuple(skipped),
        angle=axes.cosine,
        outside=in_order(outside),
        untouched=untouched(axes, points),
        notes=tuple(notes),
    )


def _layers(axes: Axes, start: Start, begin: Weights) -> dict[str, str]:
    """The layers that the directions have, or the start's adapter, by their tensor in the start."""
    modules = {f"{name}.weight": name for name in {*axes.modules, *start.adapter}}
    found = match_names(modules, begin.shapes)
    missing = in_order(modules[name] for name in modules.keys() - found.keys())
    if missing:
        raise ModelError(
            f"{start.folder}: no weight of {missing[0]}, which the bundle has",
            hint="use the bundle of the model that the run fine-tunes (--bundle or --model)",
        )
    return {tensor: modules[name] for name, tensor in found.items()}


def _open(
    states: Sequence[State], begin: Weights, layers: Mapping[str, str]
) -> tuple[list[_Opened], list[Skipped]]:
    """The states that can be measured, and those that cannot."""
    opened: list[_Opened] = []
    skipped: list[Skipped] = []
    for state in states:
        try:
            weights = Weights(state.folder)
            names = match_names(begin.shapes, weights.shapes)
            for tensor, module in layers.items():
                if tensor not in names or weights.shapes[names[tensor]] != begin.shapes[tensor]:
                    raise ModelError(
                        f"{state.folder}: no weight of {module} in the shape that the start has",
                        hint="name the model that the run began from (--start or --model)",
                    )
        except ModelError as error:
            skipped.append(Skipped(state, error.message, error.hint or ""))
            if len(skipped) == len(states):
                raise
            continue
        opened.append(_Opened(state, weights, names))
    return opened, skipped


def _tensors(
    axes: Axes, start: Start, begin: Weights, layers: Mapping[str, str], opened: Sequence[_Opened]
) -> tuple[list[Stored], int]:
    """All that can be compared: the directions' layers, and every other tensor. How many cannot."""
    along = {name: (axes.danger.layers.get(name), axes.safety.layers.get(name)) for name in layers.values()}
    sizes = {
        name: next(low.shape for low in (*along[name], start.adapter.get(name)) if low) for name in along
    }
    shapes = {module: begin.shapes[tensor] for tensor, module in layers.items()}
    transposed = stored_transposed(shapes, sizes, start.transposed)
    found, left_out = [], 0
    for tensor, shape in begin.shapes.items():
        module = layers.get(tensor, tensor)
        names = (tensor, *(each.names.get(tensor, "") for each in opened))
        same = all(each.weights.shapes.get(n) == shape for each, n in zip(opened, names[1:], strict=True))
        if not (same and shape):
            left_out += 1
        elif tensor in layers:
            added = start.adapter.get(module)
            found.append(Stored(module, names, shape, transposed[module], along[module], added))
        else:
            found.append(Stored(module, names, shape))
    return found, left_out


def _move(axes: Axes, moved: Mapping[str, Sequence[Moved]], k: int) -> Move:
    def length(k: int) -> float:
        return math.sqrt(math.fsum(each[k].last.square for each in moved.values()))

    turn = math.fsum(each[k].turn for each in moved.values())
    return Move(
        drift_of(axes, {name: each[k].total for name, each in moved.items()}),
        drift_of(axes, {name: each[k].last for name, each in moved.items()}),
        ratio(turn, length(k) * length(k - 1)) if k else math.nan,
    )
