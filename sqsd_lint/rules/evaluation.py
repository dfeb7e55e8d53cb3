"""The rows of a run as one bundle scored them, what all bundles find in them, and what that proves gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqsd_lint.rules.findings import is_partial, is_screened, why_unscorable
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.registry import RULES
from sqsd_lint.rules.rule import FileRule
from sqsd_lint.types import Problem, ScoredRow, Severity, Unlisted, Violation


@dataclass(frozen=True, slots=True)
class Evidence:
    """A run, as far as it shows that a finding is no longer there.

    Attributes:
        found: (fingerprint, rule) of every finding that is kept, before any was accepted.
        unscored: fingerprints of rows without a score, or with that of a part, of which not all is known.
        screened: how many rows were passed by with a bound.
        undecided: by rule, how many rows of which files lack what the rule's check needs.
    """

    policy: Policy
    found: frozenset[tuple[str, str]]
    unscored: frozenset[str]
    undecided: Mapping[str, Counter[str]]
    screened: int = 0

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
        return tuple(_undecided_note(rule, files, rows, self.screened) for rule, files in undecided if files)


def _undecided_note(rule: FileRule, files: Counter[str], rows: int, screened: int) -> str:
    count = files.total()
    if count >= rows and not screened:
        return f"{rule.code} is off: this bundle's scores tell no {rule.needs}"
    where = f"{len(files):,} file{'' if len(files) == 1 else 's'}"
    return f"{rule.code} did not judge {where}: the {rule.needs} of {count:,} rows is unknown"


class RowsSeen:
    """What has to be known of all rows of a run at its end, counted as they pass.

    Attributes:
        scored: rows with a score, and those that were screened.
    """

    def __init__(self, policy: Policy) -> None:
        self.scored = self._screened = 0
        self._policy = policy
        self._demanding = [rule for rule in RULES.file_rules if rule.needs]
        self._undecided: dict[str, Counter[str]] = {rule.code: Counter() for rule in self._demanding}
        self._unscored: set[str] = set()

    def add(self, item: ScoredRow | Problem) -> None:
        """Count a row, or what stands in its place."""
        if isinstance(item, Problem) or why_unscorable(item.score):
            self._unscored.add(item.fingerprint)
            return
        if is_partial(item) or is_screened(item):
            self._unscored.add(item.fingerprint)
        self._screened += is_screened(item)
        self.scored += 1
        for rule in self._demanding:
            file = item.where.file
            if not rule.has(item) and self._policy.severity(rule.code, file):
                self._undecided[rule.code][file] += 1

    def evidence(self, found: Iterable[Violation] = ()) -> Evidence:
        """Return what the rows show, and the findings in them."""
        keys = frozenset((violation.fingerprint, violation.rule) for violation in found)
        return Evidence(self._policy, keys, frozenset(self._unscored), self._undecided, self._screened)


def _always(item: object, row: ScoredRow | None = None) -> bool:
    return True


def _ignore(item: object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Keeping:
    """What of a run is kept in memory, beside what is counted.

    Attributes:
        findings: so many of each severity, the first ones; None for all.
        finding: which finding is kept beyond that: one that was accepted before, and that is looked for.
        row: which rows are kept.
        watch: told of every row, or of what stands in its place, as all bundles together see it.
    """

    findings: int | None = None
    finding: Callable[[Violation, ScoredRow | None], bool] = _always
    row: Callable[[ScoredRow], bool] = _always
    watch: Callable[[ScoredRow | Problem], None] = _ignore


KEEP_ALL = Keeping()


class Findings:
    """The findings of a run: those that are kept, and how many others there are."""

    def __init__(self, keeping: Keeping) -> None:
        self.kept: list[Violation] = []
        self._keeping = keeping
        self._counts: Counter[Severity] = Counter()
        self._others: Counter[tuple[str, str, Severity, str]] = Counter()

    def add(self, violation: Violation, row: ScoredRow | None = None) -> None:
        """Keep a finding, or count it.

        Args:
            row: that it is about.
        """
        most = self._keeping.findings
        if most is None or self._counts[violation.severity] < most:
            self._counts[violation.severity] += 1
        elif not self._keeping.finding(violation, row):
            key = (violation.rule, violation.name, violation.severity, violation.where.file)
            self._others[key] += 1
            return
        self.kept.append(violation)

    @property
    def unlisted(self) -> tuple[Unlisted, ...]:
        """Those that are counted only."""
        return tuple(Unlisted(*key, count) for key, count in sorted(self._others.items()))


@dataclass(frozen=True, slots=True)
class BundleScores:
    """Every row of a run as one bundle scored it.

    Attributes:
        name: the bundle's id, with the first digits of its digest where two bundles have the same.
        policy: with the thresholds of the bundle's own calibration.
        items: gone through once; of several bundles the same rows in the same order.
    """

    name: str
    policy: Policy
    items: Iterable[ScoredRow | Problem]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What all bundles of a run find together.

    Attributes:
        rows: of one bundle, every row that it has not refused; of several, the rows that all of them have
            scored; those that are to be kept.
        problems: the others; of files alone, where not all findings are kept.
        found: every finding that is kept, before any was accepted.
        evidence: on what grounds a finding may be called gone.
        notes: what the report's head must say.
        unlisted: findings that are counted, not kept.
    """

    rows: Sequence[ScoredRow]
    problems: Sequence[Problem]
    found: Sequence[Violation]
    evidence: Evidence
    notes: tuple[str, ...] = ()
    unlisted: tuple[Unlisted, ...] = ()
