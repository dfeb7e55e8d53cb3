"""What several bundles' findings of one thing amount to."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from sqsd_lint.types import ConsensusRule


class Vote(IntEnum):
    """What one bundle finds, or all of them together; only together there is DISSENT.

    DISSENT is a finding of fewer bundles than it takes, which is told as a warning.
    """

    CLEAR = 0
    DISSENT = 1
    WARNING = 2
    ERROR = 3


def quorum(rule: ConsensusRule, bundles: int) -> int:
    """How many of so many bundles carry a finding: any takes 1, majority more than half, all every one."""
    return {"any": 1, "majority": bundles // 2 + 1, "all": max(bundles, 1)}[rule]


def count_votes(votes: Sequence[Vote], rule: ConsensusRule) -> Vote:
    """The gravest vote that enough bundles have cast, a graver one counting as a lighter one, too."""
    needed = quorum(rule, len(votes))
    for level in (Vote.ERROR, Vote.WARNING):
        if sum(vote >= level for vote in votes) >= needed:
            return level
    return Vote.DISSENT if any(votes) else Vote.CLEAR
