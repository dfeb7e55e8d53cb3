"""Findings that are one and the same thing said of several rows of a file, put together for people.

Programs get every finding by itself (json, jsonl, sarif, github, gitlab, junit), and so do people who ask for
everything (`--verbose`) or for one line each (concise).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqsd_lint.common import numbers
from sqsd_lint.rules.registry import RULES
from sqsd_lint.types import Violation

# Places that a report names of one group; the rest are counted.
MOST_PLACES = 12


@dataclass(frozen=True, slots=True)
class FindingGroup:
    """One finding, or several of one kind in one file.

    Attributes:
        first: the one that stands for all.
        rest: the others, in the order in which they were given.
    """

    first: Violation
    rest: tuple[Violation, ...] = ()

    @property
    def places(self) -> str:
        """Where they are: `2 rows: 1 and 3`, `14 rows: 3 to 16`; empty for one finding alone."""
        if not self.rest:
            return ""
        members = sorted((self.first, *self.rest), key=lambda v: (v.where.line, v.where.index))
        shown = _runs(members)
        more = sum(size for _, size in shown[MOST_PLACES:])
        texts = [text for text, _ in shown[:MOST_PLACES]]
        if more:
            texts.append(f"{more:,} more")
        return f"{numbers.count(len(members), 'row')}: {numbers.listing(texts)}"


def grouped(violations: Iterable[Violation]) -> list[FindingGroup]:
    """Return the findings with those of one kind in one file put together, each where its first one stands.

    Of one kind are findings of a rule with the same words about rows that have no score to tell them apart,
    and those about one and the same row that occurs several times.
    """
    groups: dict[tuple[object, ...], list[Violation]] = {}
    for number, violation in enumerate(violations):
        groups.setdefault(_kind(violation) or (number,), []).append(violation)
    return [FindingGroup(members[0], tuple(members[1:])) for members in groups.values()]


def _kind(violation: Violation) -> tuple[object, ...] | None:
    """Return what findings of one kind have in common, None for a finding that is like no other."""
    where = violation.where
    if not where.line:
        return None
    common = (where.file, violation.rule, violation.severity, violation.message)
    if RULES.is_row_risk(violation.rule):
        return (*common, violation.fingerprint) if violation.fingerprint else None
    return (*common, violation.hint)


def _runs(members: Sequence[Violation]) -> list[tuple[str, int]]:
    """Return the places in order, rows that follow one another as `3 to 16`, each with its number of rows."""
    runs: list[list[Violation]] = []
    for violation in members:
        if runs and violation.where.index - runs[-1][-1].where.index == 1:
            runs[-1].append(violation)
        else:
            runs.append([violation])
    texts: list[tuple[str, int]] = []
    for run in runs:
        if len(run) > 2:
            texts.append((f"{run[0].where.place} to {run[-1].where.place}", len(run)))
        else:
            texts += [(each.where.place, 1) for each in run]
    return texts
