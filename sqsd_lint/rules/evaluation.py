"""The rows of a run as one bundle scored them, what all bundles find in them, and what that proves gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqsd_lint.rules.findings import is_partial, why_unscorable
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.registry import RULES
from sqsd_lint.rules.rule import FileRule
from sqsd_lint.types import Problem, ScoredRow, Violation


@dataclass(frozen=True, slots=True)
class Evidence:
    """A run, as far as it shows that a finding is no longer there.

    Attributes:
        found: (fingerprint, rule) of every finding, before any was accepted.
        unscored: fingerprints of rows without a score, or with that of a part, of which not all is known.
        undecided: by rule, how many rows of which files lack what the rule's check needs.
    """

    policy: Policy
    found: frozenset[tuple[str, str]]
    unscored: frozenset[str]
    undecided: Mapping[str, Counter[str]]

    @classmethod
    def of(
        cls,
        rows: Iterable[ScoredRow],
        problems: Iterable[Problem],
        found: Iterable[Violation],
        policy: Policy,
    ) -> Evidence:
        """Return the evidence of a run over these rows and problems, with its findings."""
        unscored = {problem.fingerprint for problem in problems}
        demanding = [rule for rule in RULES.file_rules if rule.needs]
        undecided: dict[str, Counter[str]] = {rule.code: Counter() for rule in demanding}
        for row in rows:
            if is_partial(row):
                unscored.add(row.fingerprint)
            if why_unscorable(row.score):
                unscored.add(row.fingerprint)
                continue
            for rule in demanding:
                if policy.severity(rule.code, row.where.file) and not rule.has(row):
                    undecided[rule.code][row.where.file] += 1
        keys = frozenset((violation.fingerprint, violation.rule) for violation in found)
        return cls(policy, keys, frozenset(unscored), undecided)

    def is_gone(self, fingerprint: str, rule: str, file: str) -> bool:
        """Tell whether a file was checked for a finding and has neither it nor a lighter one any more."""
        return (
            not any((fingerprint, code) in self.found for code in (rule, *RULES.lighter_than(rule)))
            and fingerprint not in self.unscored
            and self.policy.severity(rule, file) is not None
            and file not in self.undecided.get(rule, ())
        )

    def notes(self, rows: int) -> tuple[str, ...]:
        """Return what a report's head must say about rules that could not be checked.

        Args:
            rows: how many rows have a score.
        """
        undecided = ((rule, self.undecided.get(rule.code)) for rule in RULES.file_rules)
        return tuple(_undecided_note(rule, files, rows) for rule, files in undecided if files)


def _undecided_note(rule: FileRule, files: Counter[str], rows: int) -> str:
    count = files.total()
    if count >= rows:
        return f"{rule.code} is off: this bundle's scores tell no {rule.needs}"
    where = f"{len(files):,} file{'' if len(files) == 1 else 's'}"
    return f"{rule.code} did not judge {where}: the {rule.needs} of {count:,} rows is unknown"


@dataclass(frozen=True, slots=True)
class BundleScores:
    """Every row of a run as one bundle scored it.

    Attributes:
        name: the bundle's id, with the first digits of its digest where two bundles have the same.
        policy: with the thresholds of the bundle's own calibration.
        items: in the order of files and rows, the same rows for every bundle of a run.
    """

    name: str
    policy: Policy
    items: Sequence[ScoredRow | Problem]

    @property
    def rows(self) -> list[ScoredRow]:
        """Those that the bundle has not refused."""
        return [item for item in self.items if not isinstance(item, Problem)]

    @property
    def problems(self) -> list[Problem]:
        """The others."""
        return [item for item in self.items if isinstance(item, Problem)]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What all bundles of a run find together.

    Attributes:
        rows: of one bundle, every row that it has not refused; of several, the rows that all of them have
            scored.
        problems: the others.
        found: every finding, before any was accepted.
        evidence: on what grounds a finding may be called gone.
        notes: what the report's head must say.
    """

    rows: Sequence[ScoredRow]
    problems: Sequence[Problem]
    found: Sequence[Violation]
    evidence: Evidence
    notes: tuple[str, ...] = ()
