"""One architecture with its adapters, and the two ways to score it: the package and the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import torch

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.scoring import Direction, Scorer
from sqsd_lint.types import Encoded, Metric
from tests import oracle, tiny

METRICS: tuple[Metric, ...] = ("cosine", "projection", "dot")
RELATIVE = 1e-4
"""What a float32 score may differ from the oracle's, relative to its size (see `tolerance`)."""


def encoded(ids: Sequence[int], labels: Sequence[int]) -> Encoded:
    return Encoded(tuple(ids), tuple(labels), response_tokens=sum(label != -100 for label in labels))


def random_rows(count: int, *, seed: int = 0, longest: int = 40) -> list[Encoded]:
    """Rows of many lengths: prompts of 1 to `longest` tokens, responses of 1 to `longest` / 2."""
    lengths = torch.Generator().manual_seed(seed)
    rows = []
    for i in range(count):
        prompt = int(torch.randint(1, longest, (), generator=lengths))
        response = int(torch.randint(1, longest // 2, (), generator=lengths))
        rows.append(encoded(*tiny.random_sample(1000 * seed + i, prompt=prompt, response=response)))
    return rows


def two_turns(seed: int = 7) -> Encoded:
    """A row with two counted stretches and uncounted tokens between and after them."""
    ids, labels = tiny.random_sample(seed, prompt=6, response=20)
    return encoded(ids, [-100 if 12 <= t < 18 or t >= 24 else label for t, label in enumerate(labels)])


def tolerance(projection: oracle.Projection, metric: str, relative: float = RELATIVE) -> float:
    """Absolute tolerance: relative to the value, or to its terms' root sum of squares where they cancel."""
    return relative * max(abs(projection.value(metric)), projection.scale(metric))


@dataclass(frozen=True)
class Case:
    """A base model and folders of adapters by name; the names are those that `direction` takes."""

    arch: str
    folders: dict[str, Path]

    @cached_property
    def model(self) -> Any:
        return tiny.make_model(self.arch)

    def direction(self, vector: str, expansion: str, scaling: float | None = None) -> Direction:
        model = self.model
        loaded = load_adapter(self.folders[vector], model)
        at = loaded if expansion == vector else load_adapter(self.folders[expansion], model)
        return Direction(name=vector, vector=loaded, expansion=at, scaling=scaling)

    def project(
        self, rows: Sequence[Encoded], directions: Sequence[Direction], **options: Any
    ) -> torch.Tensor:
        """The package's projections [n, directions]."""
        values: torch.Tensor = Scorer(self.model, directions, **options).project(rows).values
        return values

    def oracle(
        self, row: Encoded, vector: str, expansion: str, scaling: float | None = None
    ) -> oracle.Projection:
        return _oracle(self.arch, self.folders[vector], self.folders[expansion], row, scaling)


@cache
def _oracle(
    arch: str, vector: Path, expansion: Path, row: Encoded, scaling: float | None
) -> oracle.Projection:
    # The plain attention: no fused kernel, no shortcut for masks.
    exact_model = partial(tiny.make_model, arch, dtype=torch.float64, attention="eager")
    return oracle.oracle_terms(exact_model, expansion, vector, row.ids, row.labels, scaling)
