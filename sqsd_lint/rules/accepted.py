"""What was accepted before, by a baseline or by suppressions, taken out of what a run has found."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqsd_lint.errors import ConfigError
from sqsd_lint.rules.baseline import (
    DEFAULT_BASELINE,
    Baseline,
    BaselineEntry,
    portable_path,
    read_baseline,
)
from sqsd_lint.rules.evaluation import Evaluation, Evidence
from sqsd_lint.rules.findings import in_order
from sqsd_lint.rules.registry import RULES
from sqsd_lint.rules.rule import Rule, Scope
from sqsd_lint.rules.suppressions import (
    DEFAULT_SUPPRESSIONS,
    Suppressions,
    inline_fault,
    is_silenced,
    read_suppressions,
)
from sqsd_lint.types import ScoredRow, Violation, Where


@dataclass(frozen=True, slots=True)
class Accepted:
    """Findings that fail no run.

    Attributes:
        inline: whether rows may suppress findings about themselves.
    """

    baseline: Baseline | None = None
    suppressions: Suppressions | None = None
    inline: bool = True

    def answers(self, violation: Violation, row: ScoredRow | None = None) -> bool:
        """Tell whether a finding is accepted: by its row, by a suppression or by the baseline."""
        return bool(self.answer_to(violation, row))

    def answer_to(
        self, violation: Violation, row: ScoredRow | None = None
    ) -> Literal["", "suppressed", "baselined"]:
        """Return what a finding is counted as: a suppression comes first, "" if nothing accepts it."""
        suppression = row.suppression if row and self.inline else None
        own = suppression.codes if suppression and not inline_fault(suppression) else ()
        if violation.rule in RULES.row_findings and is_silenced(violation.rule, own):
            return "suppressed"
        if violation in (self.suppressions or ()):
            return "suppressed"
        accepted = violation.rule in RULES.acceptable and violation in (self.baseline or ())
        return "baselined" if accepted else ""

    def names(self, row: ScoredRow, rule: str) -> bool:
        """Tell whether the row, a suppression or the baseline has a rule's finding in the row."""
        entry = self.suppressions.entries.get(row.fingerprint) if self.suppressions else None
        return (
            (row.suppression is not None and rule in row.suppression.codes)
            or (entry is not None and rule in entry.suppression.codes)
            or (self.baseline is not None and self.baseline.names(row.fingerprint, rule))
        )

    def concerns(self, row: ScoredRow) -> bool:
        """Tell whether a suppression is about a row: its own, or one of the file of suppressions."""
        entries = self.suppressions.entries if self.suppressions else ()
        return row.suppression is not None or row.fingerprint in entries


def load_accepted(baseline: str | None, suppressions: str | None, *, inline: bool = True) -> Accepted:
    """Read what the settings name.

    Args:
        baseline, suppressions: a path; None for the file of the default name in the working folder, if there
            is one; "" for none.

    Raises:
        ConfigError: a named file is missing, or a file is damaged.
    """
    first = _path(baseline, DEFAULT_BASELINE, "Make it with `sqsd-lint baseline create`.")
    second = _path(suppressions, DEFAULT_SUPPRESSIONS, "Check the path.")
    return Accepted(
        read_baseline(first) if first else None, read_suppressions(second) if second else None, inline
    )


def _path(name: str | None, default: str, hint: str) -> str:
    if name is None:
        return default if os.path.lexists(default) else ""
    if name and not os.path.isfile(name):
        raise ConfigError(f"{name}: no such file", hint=hint)
    return name


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What was accepted before, beside what a run has found: what rules of upkeep look at.

    Attributes:
        rows: those of the run.
        whole: the files of which every row was evaluated.
        stale: the entries of the baseline whose files were read whole and have no such finding any more.
    """

    accepted: Accepted
    rows: Sequence[ScoredRow]
    evidence: Evidence
    whole: Sequence[str]
    stale: Sequence[BaselineEntry]


@dataclass(frozen=True, kw_only=True, eq=False)
class UpkeepRule(Rule):
    """A rule about what was accepted before.

    Attributes:
        check: yields its violations, if the policy has it on.
    """

    scope: Scope = Scope.UPKEEP
    check: Callable[[Acceptance], Iterable[Violation]]


@dataclass(frozen=True, slots=True)
class RemainingFindings:
    """The findings of a run, less those that were accepted before.

    Attributes:
        violations: what the report shows, in order: what nobody has accepted, and findings about upkeep.
        baselined, suppressed: how many findings the baseline and suppressions answer; a suppression first.
        notes: what the report's head must say.
        acceptable: the findings that a new baseline would hold, those of the present one included.
        stale: the entries of the baseline that match nothing any more.
    """

    violations: tuple[Violation, ...]
    baselined: int = 0
    suppressed: int = 0
    notes: tuple[str, ...] = ()
    acceptable: tuple[Violation, ...] = ()
    stale: tuple[BaselineEntry, ...] = ()


def subtract_accepted(
    evaluation: Evaluation,
    accepted: Accepted | None = None,
    *,
    files: Sequence[str] = (),
    whole: Collection[str] | None = None,
) -> RemainingFindings:
    """Take out of the findings what the baseline and suppressions answer, and check these themselves.

    Neither answers for a row without a score, nor for coverage: a gap is accepted with `allow` alone.

    Args:
        files: the files in the order in which the report shows them; others follow by name.
        whole: the files of which every row was evaluated, all of `files` if not given. In others no finding
            is called gone.
    """
    accepted = accepted or Accepted()
    inline = _inline(evaluation.rows) if accepted.inline else {}
    may_be_accepted, about_rows = RULES.acceptable, RULES.row_findings
    left: list[Violation] = []
    acceptable: list[Violation] = []
    suppressed = baselined = 0
    for violation in evaluation.found:
        own = inline.get(violation.where, ()) if violation.rule in about_rows else ()
        if is_silenced(violation.rule, own) or violation in (accepted.suppressions or ()):
            suppressed += 1
            continue
        if violation.rule in may_be_accepted and violation.fingerprint:
            acceptable.append(violation)
            if violation in (accepted.baseline or ()):
                baselined += 1
                continue
        left.append(violation)
    unreadable = {problem.where.file for problem in evaluation.problems if problem.rows == 0}
    read = [file for file in (files if whole is None else whole) if file not in unreadable]
    stale = _stale_entries(accepted.baseline, evaluation.evidence, read)
    acceptance = Acceptance(accepted, evaluation.rows, evaluation.evidence, read, stale)
    for rule in RULES.values():
        if isinstance(rule, UpkeepRule):
            left += rule.check(acceptance)
    return RemainingFindings(
        tuple(in_order(left, files)),
        baselined,
        suppressed,
        evaluation.notes,
        tuple(acceptable),
        tuple(stale),
    )


def _inline(rows: Iterable[ScoredRow]) -> Mapping[Where, tuple[str, ...]]:
    """Return what rows suppress about themselves, those that do it wrong left out."""
    return {
        row.where: row.suppression.codes
        for row in rows
        if row.suppression is not None and not inline_fault(row.suppression)
    }


def files_by_name(files: Iterable[str], folder: str) -> dict[str, str]:
    """Return files by the name that entries of a baseline or of suppressions in `folder` give them."""
    return {portable_path(folder, file): file for file in files}


def _stale_entries(
    baseline: Baseline | None, evidence: Evidence, whole: Iterable[str]
) -> list[BaselineEntry]:
    """Return the entries of files that were read whole, and whose finding is nowhere any more."""
    if baseline is None:
        return []
    files = files_by_name(whole, baseline.folder)
    return [
        entry
        for entry in sorted(baseline.entries)
        if entry.file in files and evidence.is_gone(entry.fingerprint, entry.rule, files[entry.file])
    ]
