"""What several bundles' findings of one thing amount to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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


LEVELS = (Vote.ERROR, Vote.WARNING)


def has_say(vote: Vote, lines: Collection[Vote], level: Vote) -> bool:
    """Whether a bundle with these lines has a vote on a level: above a graver line it needs no other."""
    return level in lines or vote >= level


def quorum(rule: ConsensusRule, bundles: int) -> int:
    """How many of so many bundles carry a finding: any takes 1, majority more than half, all every one."""
    return {"any": 1, "majority": bundles // 2 + 1, "all": max(bundles, 1)}[rule]


def count_votes(
    votes: Sequence[Vote], rule: ConsensusRule, lines: Sequence[Collection[Vote]] | None = None
) -> Vote:
    """The gravest vote that enough bundles have cast, a graver one counting as a lighter one, too.

    Args:
        lines: of which votes each bundle has a line, all of them if not given. By a line that it lacks, a
            bundle has found nothing either way.
    """
    lines = lines or [LEVELS] * len(votes)
    for level in LEVELS:
        cast = [vote >= level for vote, own in zip(votes, lines, strict=True) if has_say(vote, own, level)]
        if any(level in own for own in lines) and sum(cast) >= quorum(rule, len(cast)):
            return level
    return Vote.DISSENT if any(votes) else Vote.CLEAR
