"""All findings, less those that were accepted before, plus those about acceptance itself.

What has been accepted before a run: the baseline, and suppressions with their reasons.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqsd_lint.errors import ConfigError
from sqsd_lint.rules.baseline import DEFAULT_BASELINE, Baseline, Entry, name_in, read_baseline
from sqsd_lint.rules.evaluation import Heard
from sqsd_lint.rules.findings import in_order
from sqsd_lint.rules.registry import ACCEPTABLE_RULES, ROW_RULES
from sqsd_lint.rules.stale import inline_fault, stale_entries, stale_findings, unused_entries, unused_inline
from sqsd_lint.rules.suppressions import DEFAULT_SUPPRESSIONS, Suppressions, read_suppressions, silenced
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


def load_accepted(baseline: str | None, suppressions: str | None, *, inline: bool = True) -> Accepted:
    """Reads what the settings name.

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
class Judged:
    """The findings of a run.

    Attributes:
        violations: what the report shows, in order: what nobody has accepted, and SQSD401 and SQSD402.
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
    stale: tuple[Entry, ...] = ()


def judge_all(
    heard: Heard,
    accepted: Accepted | None = None,
    *,
    files: Sequence[str] = (),
    whole: Collection[str] | None = None,
) -> Judged:
    """Takes out of the findings what the baseline and suppressions answer, and judges these themselves.

    Neither answers for a row without a score, nor for coverage: a gap is accepted with `allow` alone.

    Args:
        files: the files in the order in which the report shows them; others follow by name.
        whole: the files of which every row was heard, all of `files` if not given. Of others nothing is said
            to be gone.
    """
    accepted = accepted or Accepted()
    rows, looked = heard.rows, heard.looked
    inline = _inline(rows) if accepted.inline else {}
    left: list[Violation] = []
    acceptable: list[Violation] = []
    suppressed = baselined = 0
    for violation in heard.found:
        if _is_suppressed(violation, inline, accepted):
            suppressed += 1
            continue
        if violation.rule in ACCEPTABLE_RULES and violation.fingerprint:
            acceptable.append(violation)
            if accepted.baseline is not None and violation in accepted.baseline:
                baselined += 1
                continue
        left.append(violation)
    unreadable = {problem.where.file for problem in heard.problems if problem.rows == 0}
    read = [file for file in (files if whole is None else whole) if file not in unreadable]
    left += unused_inline(rows, looked, in_force=accepted.inline)
    if accepted.suppressions is not None:
        names = _names(read, accepted.suppressions.folder)
        left += unused_entries(accepted.suppressions, rows, looked, names)
    stale: list[Entry] = []
    if accepted.baseline is not None:
        stale = stale_entries(accepted.baseline, looked, _names(read, accepted.baseline.folder))
        left += stale_findings(accepted.baseline, stale, looked.policy)
    return Judged(
        tuple(in_order(left, files)),
        baselined,
        suppressed,
        heard.notes,
        tuple(acceptable),
        tuple(stale),
    )


def _inline(rows: Iterable[ScoredRow]) -> Mapping[Where, tuple[str, ...]]:
    """What rows suppress about themselves, those that do it wrong left out."""
    return {
        row.where: row.suppression.codes
        for row in rows
        if row.suppression is not None and not inline_fault(row.suppression)
    }


def _is_suppressed(violation: Violation, inline: Mapping[Where, tuple[str, ...]], accepted: Accepted) -> bool:
    if violation.rule in ROW_RULES and silenced(violation.rule, inline.get(violation.where, ())):
        return True
    return accepted.suppressions is not None and violation in accepted.suppressions


def _names(files: Iterable[str], folder: str) -> dict[str, str]:
    """Files by the name that entries of a baseline or of suppressions in `folder` give them."""
    return {name_in(folder, file): file for file in files}
