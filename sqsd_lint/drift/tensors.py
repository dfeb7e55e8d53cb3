"""One tensor of all states at once: its displacements along the directions, a block of rows at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqsd_lint.drift.displacement import Inner
from sqsd_lint.drift.lowrank import LowRank
from sqsd_lint.drift.weights import Weights

if TYPE_CHECKING:
    from torch import Tensor

# Elements of a block: 16 MiB in float64, and some six blocks are held at a time.
BLOCK = 1 << 21


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A tensor as it lies on disk.

    Attributes:
        module: its layer as the bundle names it; outside of the directions, the tensor's own name.
        names: what it is called in the start and in every state.
        shape: as stored; `transposed` says that this is [d_in, d_out].
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
class Moved:
    """What one state did to one tensor.

    Attributes:
        total: displacement from the start; last: from the state before.
        turn: <last, the step before it>.
    """

    total: Inner
    last: Inner
    turn: float

    def __add__(self, other: Moved) -> Moved:
        return Moved(self.total + other.total, self.last + other.last, self.turn + other.turn)


def walk_through(tensor: Stored, places: Sequence[Weights]) -> list[Moved]:
    """What each state did to a tensor, in the order of states.

    Args:
        places: the start, then every state.
    """
    rows = max(1, BLOCK // max(1, math.prod(tensor.shape[1:])))
    found = [Moved(Inner(0.0), Inner(0.0), 0.0)] * (len(places) - 1)
    for begin in range(0, tensor.shape[0], rows):
        part = slice(begin, min(begin + rows, tensor.shape[0]))
        found = [a + b for a, b in zip(found, _block(tensor, places, part), strict=True)]
    return found


def _block(tensor: Stored, places: Sequence[Weights], part: slice) -> Iterator[Moved]:
    along = [_cut(tensor, axis, part) for axis in tensor.along]

    def read(place: Weights, name: str) -> Tensor:
        rows = place.rows(name, part.start, part.stop)
        return rows.T if tensor.transposed else rows

    def inner(moved: Tensor) -> Inner:
        return Inner(float(moved.square().sum()), *(a.dot_dense(moved) if a else 0.0 for a in along))

    start = read(places[0], tensor.names[0])
    if (added := _cut(tensor, tensor.added, part)) is not None:
        start = start + added.up @ added.down
    before, step = start, None
    for place, name in zip(places[1:], tensor.names[1:], strict=True):
        now = read(place, name)
        last = now - before
        yield Moved(inner(now - start), inner(last), 0.0 if step is None else float((last * step).sum()))
        before, step = now, last


def _cut(tensor: Stored, low: LowRank | None, part: slice) -> LowRank | None:
    """The rows of a low-rank matrix that stand in a block of the stored tensor."""
    if low is None:
        return None
    return LowRank(low.up, low.down[:, part]) if tensor.transposed else LowRank(low.up[part], low.down)
