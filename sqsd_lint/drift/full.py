"""Measure a run whose states are full weights: streamed from disk, every byte read once.

All states are walked through together, tensor by tensor and block by block, so that memory holds a few
blocks however large the model is and however many checkpoints there are.

One tensor of all states at once: its displacements along the directions, a block of rows at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqsd_lint.common.progress import Progress
from sqsd_lint.drift.directions import WeightDirections, in_order, ratio
from sqsd_lint.drift.displacement import InnerProducts, drift_of
from sqsd_lint.drift.lowrank import LowRank
from sqsd_lint.drift.trajectory import Point, Skipped, State, StateDrift, Trajectory, untouched_layers
from sqsd_lint.drift.weights import Weights, match_names, stored_transposed
from sqsd_lint.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


# Elements of a block: 16 MiB in float64, and some six blocks are held at a time.
BLOCK = 1 << 21


@dataclass(frozen=True, slots=True, eq=False)
class StoredTensor:
    """A tensor as it lies on disk.

    Attributes:
        module: its layer as the bundle names it; outside of the directions, the tensor's own name.
        names: what it is called in the start and in every state.
        shape: as stored; `transposed`: that this is [d_in, d_out].
        along: the danger and the safety direction, where they have the layer.
        added: what was merged into the start before training began.
    """

    module: str
    names: tuple[str, ...]
    shape: tuple[int, ...]
    transposed: bool = False
    along: tuple[LowRank | None, LowRank | None] = (None, None)
    added: LowRank | None = None


@dataclass(frozen=True, slots=True)
class TensorDrift:
    """What one state did to one tensor.

    Attributes:
        total: displacement from the start; last: from the state before.
        turn: <last, the step before it>.
    """

    total: InnerProducts
    last: InnerProducts
    turn: float

    def __add__(self, other: TensorDrift) -> TensorDrift:
        return TensorDrift(self.total + other.total, self.last + other.last, self.turn + other.turn)


def measure_tensor(tensor: StoredTensor, places: Sequence[Weights]) -> list[TensorDrift]:
    """Return what each state did to a tensor, in the order of states.

    Args:
        places: the start, then every state.
    """
    rows = max(1, BLOCK // max(1, math.prod(tensor.shape[1:])))
    found = [TensorDrift(InnerProducts(0.0), InnerProducts(0.0), 0.0)] * (len(places) - 1)
    for begin in range(0, tensor.shape[0], rows):
        part = slice(begin, min(begin + rows, tensor.shape[0]))
        found = [a + b for a, b in zip(found, _block(tensor, places, part), strict=True)]
    return found


def _block(tensor: StoredTensor, places: Sequence[Weights], part: slice) -> Iterator[TensorDrift]:
    along = [_cut(tensor, direction, part) for direction in tensor.along]

    def read(place: Weights, name: str) -> Tensor:
        rows = place.rows(name, part.start, part.stop)
        return rows.T if tensor.transposed else rows

    def inner(moved: Tensor) -> InnerProducts:
        return InnerProducts(float(moved.square().sum()), *(a.dot_dense(moved) if a else 0.0 for a in along))

    start = read(places[0], tensor.names[0])
    if (added := _cut(tensor, tensor.added, part)) is not None:
        start = start + added.up @ added.down
    before, step = start, None
    for place, name in zip(places[1:], tensor.names[1:], strict=True):
        now = read(place, name)
        last = now - before
        yield TensorDrift(
            inner(now - start), inner(last), 0.0 if step is None else float((last * step).sum())
        )
        before, step = now, last


def _cut(tensor: StoredTensor, low: LowRank | None, part: slice) -> LowRank | None:
    """Return the rows of a low-rank matrix that stand in a block of the stored tensor."""
    if low is None:
        return None
    return LowRank(low.up, low.down[:, part]) if tensor.transposed else LowRank(low.up[part], low.down)


@dataclass(frozen=True, slots=True)
class Start:
    """What full weights are measured from.

    Attributes:
        folder: of the model.
        name: for the reader.
        adapter: scaling * B @ A by module, merged into the weights before training began; mostly none.
        transposed: whether square layers lie on disk as [d_in, d_out], if no other layer decides.
    """

    folder: Path
    name: str
    adapter: Mapping[str, LowRank] = field(default_factory=dict)
    transposed: bool = False


@dataclass(frozen=True, slots=True)
class _OpenState:
    """A state whose files are there: its weights, and its tensors under the names that the start has."""

    state: State
    weights: Weights
    names: Mapping[str, str]


def measure_weights(
    directions: WeightDirections, states: Sequence[State], start: Start, *, progress: Progress | None = None
) -> Trajectory:
    """Measure all states in one pass over their files.

    Raises:
        ModelError: the start or every state cannot be read, or the run fine-tunes another model.
    """
    begin = Weights(start.folder)
    layers = _layers(directions, start, begin)
    opened, skipped = _open(states, begin, layers)
    tensors, left_out = _tensors(directions, start, begin, layers, opened)
    places = [begin, *(each.weights for each in opened)]
    if progress:
        progress.status(f"measuring {len(opened)} checkpoints")
        progress.start(len(tensors))
    moved: dict[str, list[TensorDrift]] = {}
    for tensor in tensors:
        moved[tensor.module] = measure_tensor(tensor, places)
        if progress:
            progress.advance(1)
    points = []
    for k, each in enumerate(opened):
        move = _move(directions, moved, k)
        if math.isfinite(move.total.norm + move.total.outside):
            points.append(Point(each.state, move))
        else:
            skipped.append(Skipped(each.state, f"{each.state.folder}: the weights hold NaN or infinity"))
    if not points:
        raise ModelError(skipped[-1].reason, hint="the training has diverged: there is no drift to measure")
    known = set(directions.modules)
    outside = {n for n, each in moved.items() if n not in known and any(m.total.square > 0 for m in each)}
    notes = [f"{left_out} tensors are not in every state in one shape: left out"] if left_out else []
    return Trajectory(
        kind="weights",
        start=start.name,
        points=tuple(points),
        skipped=tuple(skipped),
        angle=directions.cosine,
        outside=in_order(outside),
        untouched=untouched_layers(directions, points),
        notes=tuple(notes),
    )


def _layers(directions: WeightDirections, start: Start, begin: Weights) -> dict[str, str]:
    """Return the layers that the directions have, or the start's adapter, by their tensor in the start."""
    modules = {f"{name}.weight": name for name in {*directions.modules, *start.adapter}}
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
) -> tuple[list[_OpenState], list[Skipped]]:
    """Return the states that can be measured, and those that cannot."""
    opened: list[_OpenState] = []
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
        opened.append(_OpenState(state, weights, names))
    return opened, skipped


def _tensors(
    directions: WeightDirections,
    start: Start,
    begin: Weights,
    layers: Mapping[str, str],
    opened: Sequence[_OpenState],
) -> tuple[list[StoredTensor], int]:
    """Return what can be compared, the directions' layers and every other tensor, and how many cannot."""
    along = {
        name: (directions.danger.layers.get(name), directions.safety.layers.get(name))
        for name in layers.values()
    }
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
            found.append(StoredTensor(module, names, shape, transposed[module], along[module], added))
        else:
            found.append(StoredTensor(module, names, shape))
    return found, left_out


def _move(directions: WeightDirections, moved: Mapping[str, Sequence[TensorDrift]], k: int) -> StateDrift:
    def length(k: int) -> float:
        return math.sqrt(math.fsum(each[k].last.square for each in moved.values()))

    turn = math.fsum(each[k].turn for each in moved.values())
    return StateDrift(
        drift_of(directions, {name: each[k].total for name, each in moved.items()}),
        drift_of(directions, {name: each[k].last for name, each in moved.items()}),
        ratio(turn, length(k) * length(k - 1)) if k else math.nan,
    )
