"""What a rule is: one object with everything that other rooms ask about it, its check among them.

The rules themselves are in `row/`, `file/` and `upkeep/`, one file each, as its constant `RULE`; the registry
finds them there. Packs, the published JSON Schemas, SARIF's rule metadata, what `--fix` may move and what may
be accepted all follow from these objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Protocol

from sqsd_lint.resources import rules_dir
from sqsd_lint.rules.policy import Policy
from sqsd_lint.types import ScoredRow, Severity


class Category(str, Enum):
    """What a finding is a sign of; the value is its tag in SARIF."""

    SECURITY = "security"
    DATA_QUALITY = "data-quality"


class Scope(str, Enum):
    """What a finding is about."""

    ROW = "row"
    FILE = "file"
    UPKEEP = "upkeep"  # of what was accepted before


@dataclass(frozen=True, slots=True)
class Option:
    """A rule's entry in a pack, beside its severity.

    Attributes:
        default: its value in the pack `default`.
        schema: the JSON Schema of its values.
        convert: from a decoded JSON value to the one that the check gets.
    """

    default: Any
    schema: Mapping[str, Any]
    convert: Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rule:
    """A rule. One of this very class has no check: its findings are the problems with its code.

    Attributes:
        severity: in the pack `default`.
        movable: whether `--fix` may move a row for a finding.
        unscored: whether a finding means that something has no score, or that of a part of it alone. Such a
            gap makes the run exit 3; it is accepted with `--allow` alone, never by a baseline or a
            suppression.
        graver: the code of the rule whose finding in the same row makes one of this rule needless; who has
            accepted that has accepted this, too.
        summary: what it finds, in one sentence without a full stop.
        hint: what to do about a finding that brings no hint of its own.
        options: what a pack sets beside its severity, by name.
        strict: what the pack `strict` has otherwise: "severity" or options.
        next_step: what to do next about so many findings, for the end of a report.
    """

    code: str
    name: str
    severity: Severity
    category: Category
    scope: Scope
    summary: str
    hint: str
    movable: bool = False
    unscored: bool = False
    graver: str = ""
    options: Mapping[str, Option] = field(default_factory=dict)
    strict: Mapping[str, Any] = field(default_factory=dict)
    next_step: Callable[[int], str] | None = None

    def page(self) -> str:
        """Read the rule's documentation, in Markdown."""
        return (rules_dir() / f"{self.code}.md").read_text(encoding="utf-8")


@dataclass(frozen=True, kw_only=True, eq=False)
class RowRule(Rule):
    """A rule that looks at one row at a time.

    Attributes:
        check: returns the finding's message, "" without one.
        partial: whether `check` gets the rows that have a score, and a finding means that they have one of a
            part alone. That of any other `unscored` rule gets the rows without a score.
    """

    scope: Scope = Scope.ROW
    check: Callable[[ScoredRow, Policy], str]
    partial: bool = False

    @property
    def checks_scored(self) -> bool:
        """Tell whether `check` gets the rows that have a score, or those that have none."""
        return self.partial or not self.unscored


class FileFinding(NamedTuple):
    """What a check of a file finds.

    Attributes:
        basis: fingerprints of the rows that the finding rests on: while they stay the same, so does its own.
        row: the row that the finding is about; None for the file as a whole.
    """

    message: str
    basis: Iterable[str] = ()
    row: ScoredRow | None = None


class FileCheck(Protocol):
    """A check of one file, which gets its rows one by one: a file may have more than memory holds."""

    def add(self, row: ScoredRow) -> None:
        """Take a row that has a score, as often as it occurs, in no particular order."""

    def findings(self) -> Iterable[FileFinding]:
        """Return what all rows together show; called once, after the last of them."""


class _AllRows:
    def __init__(
        self, check: Callable[[Sequence[ScoredRow], Policy], Iterable[FileFinding]], policy: Policy
    ) -> None:
        self._check, self._policy = check, policy
        self._rows: list[ScoredRow] = []

    def add(self, row: ScoredRow) -> None:
        self._rows.append(row)

    def findings(self) -> Iterable[FileFinding]:
        return self._check(self._rows, self._policy)


def with_all_rows(
    check: Callable[[Sequence[ScoredRow], Policy], Iterable[FileFinding]],
) -> Callable[[Policy], FileCheck]:
    """Return a check of a file by a function of all of its rows, which are held in memory for it."""
    return lambda policy: _AllRows(check, policy)


@dataclass(frozen=True, kw_only=True, eq=False)
class FileRule(Rule):
    """A rule that looks at all rows of a file that have a score.

    Rows whose findings were accepted count as all others do: they are trained on, too. Where its findings are
    about rows (`FileFinding.row`), the rule's scope is Scope.ROW.

    Attributes:
        check: begins the check of a file under a policy.
        needs: what every row must have for the check, as the report names it; "" for nothing but a score.
        has: whether a row has it.
        counts: whether a row is one of those that the check counts, where its findings depend on the risks of
            rows, and then by this alone; None where they do not.
    """

    scope: Scope = Scope.FILE
    check: Callable[[Policy], FileCheck]
    needs: str = ""
    has: Callable[[ScoredRow], bool] = lambda row: True
    counts: Callable[[ScoredRow, Policy], bool] | None = None
