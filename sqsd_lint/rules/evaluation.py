"""What bundles say of the rows of a run, before and after they are heard together.

What a run looked for and found: the grounds on which something is called gone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqsd_lint.rules.calibration import Calibration
from sqsd_lint.rules.findings import why_unscorable
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.registry import GRAVER
from sqsd_lint.types import Problem, ScoredRow, Violation


@dataclass(frozen=True, slots=True)
class Looked:
    """A run, as far as it can witness that a finding is no longer there.

    Attributes:
        found: (fingerprint, rule) of every finding, before any was accepted.
        unscored: fingerprints of rows without a score, of which nothing can be said.
        undecided: how many rows have no known drift, by the files that SQSD201 could not judge for it.
    """

    policy: Policy
    found: frozenset[tuple[str, str]]
    unscored: frozenset[str]
    undecided: Counter[str]

    @classmethod
    def of(
        cls,
        rows: Iterable[ScoredRow],
        problems: Iterable[Problem],
        found: Iterable[Violation],
        policy: Policy,
    ) -> Looked:
        """The witness of a run over these rows and problems, with its findings."""
        unscored = {problem.fingerprint for problem in problems}
        undecided: Counter[str] = Counter()
        for row in rows:
            if why_unscorable(row.score):
                unscored.add(row.fingerprint)
            elif policy.severity("SQSD201", row.where.file) and not all(
                math.isfinite(score.drift) for score in row.scores
            ):
                undecided[row.where.file] += 1
        keys = frozenset((violation.fingerprint, violation.rule) for violation in found)
        return cls(policy, keys, frozenset(unscored), undecided)

    def lacks(self, fingerprint: str, rule: str, file: str) -> bool:
        """Whether a finding was looked for in a file and is nowhere, nor is it there as a lighter one."""
        answered = (rule, *(lighter for lighter, graver in GRAVER.items() if graver == rule))
        return (
            not any((fingerprint, each) in self.found for each in answered)
            and fingerprint not in self.unscored
            and self.policy.severity(rule, file) is not None
            and not (rule == "SQSD201" and file in self.undecided)
        )

    def notes(self, rows: int) -> tuple[str, ...]:
        """What a report's head must say about rules that said nothing.

        Args:
            rows: how many rows have a score.
        """
        if not self.undecided:
            return ()
        count, files = self.undecided.total(), len(self.undecided)
        if count >= rows:
            return ("SQSD201 is off: this bundle's scores tell no drift",)
        where = f"{files:,} file{'' if files == 1 else 's'}"
        return (f"SQSD201 did not judge {where}: the drift of {count:,} rows is unknown",)


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
