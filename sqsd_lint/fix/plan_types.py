"""What is to move: the plain data that planning, showing and doing hand to one another."""

from __future__ import annotations

from dataclasses import dataclass

from sqsd_lint.common.atomic import Identity
from sqsd_lint.types import Violation, Where


class CannotBeFixed(Exception):
    """Why no row of a file can be moved; its violations are left to people."""


@dataclass(frozen=True, slots=True)
class RowSpan:
    """Where a row stands in a text file, in bytes of its decompressed content.

    Attributes:
        start, end: the row itself, the end of its line included where it has one.
        cut_start, cut_end: what leaves the file with it: in a JSON array its comma, too.
    """

    start: int
    end: int
    cut_start: int
    cut_end: int


@dataclass(frozen=True, slots=True)
class Move:
    """A row on its way to the quarantine file.

    Attributes:
        violations: why.
        key: digest of all of the row, by which an interrupted move is recognised.
        span: None in Parquet and Arrow files.
    """

    where: Where
    violations: tuple[Violation, ...]
    key: bytes
    span: RowSpan | None = None


@dataclass(frozen=True, slots=True)
class FilePlan:
    """The moves out of one file, by row.

    Attributes:
        file, quarantine: from where and to where, as paths to be shown.
        identity: of the file when its rows were checked.
    """

    file: str
    quarantine: str
    identity: Identity
    moves: tuple[Move, ...]

    @property
    def rows(self) -> int:
        return len(self.moves)


@dataclass(frozen=True, slots=True)
class Left:
    """A violation that moving a row does not answer, and why."""

    violation: Violation
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Every move of a run, by file, and what is left to people."""

    files: tuple[FilePlan, ...]
    left: tuple[Left, ...] = ()

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)


@dataclass(frozen=True, slots=True)
class Moved:
    """A file that has been fixed.

    Attributes:
        rows: how many rows left it.
        added: how many of them the quarantine file did not hold already, from a run that was interrupted.
    """

    file: str
    quarantine: str
    rows: int
    added: int
