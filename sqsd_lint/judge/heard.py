"""What bundles say of the rows of a run, before and after they are heard together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqsd_lint.judge.calibration import Calibration
from sqsd_lint.judge.looked import Looked
from sqsd_lint.judge.policy import Policy
from sqsd_lint.types import Problem, ScoredRow, Violation


@dataclass(frozen=True, slots=True)
class Voice:
    """What one bundle says of every row.

    Attributes:
        name: the bundle's id, with the first digits of its digest where two bundles have the same.
        policy: with the bundle's own lines.
        items: in the order of files and rows, the same rows for every voice of a run.
    """

    name: str
    policy: Policy
    calibration: Calibration | None
    items: Sequence[ScoredRow | Problem]

    @property
    def rows(self) -> list[ScoredRow]:
        return [item for item in self.items if not isinstance(item, Problem)]

    @property
    def problems(self) -> list[Problem]:
        return [item for item in self.items if isinstance(item, Problem)]


@dataclass(frozen=True, slots=True)
class Heard:
    """What all voices say together.

    Attributes:
        rows: of one bundle, every row that it has not refused; of several, the rows that all of them have
            scored.
        problems: the others.
        found: every finding, before any was accepted.
        looked: on what grounds a finding may be called gone.
        notes: what the report's head must say.
    """

    rows: Sequence[ScoredRow]
    problems: Sequence[Problem]
    found: Sequence[Violation]
    looked: Looked
    notes: tuple[str, ...] = ()
