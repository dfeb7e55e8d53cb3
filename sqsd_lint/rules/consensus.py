"""How far several bundles agree on one row, and what their votes amount to.

Raw scores of two bundles cannot be compared; percentiles of each one's benign calibration can.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum

from sqsd_lint.types import ConsensusRule, Opinion, ScoredRow, Violation, Where


class Vote(IntEnum):
    """What one bundle finds, or all of them together; only together there is DISSENT.

    DISSENT is a finding of fewer bundles than it takes, which is reported as a warning.
    """

    CLEAR = 0
    DISSENT = 1
    WARNING = 2
    ERROR = 3


_LEVELS = (Vote.ERROR, Vote.WARNING)


def can_vote(vote: Vote, levels: Collection[Vote], level: Vote) -> bool:
    """Tell whether a bundle with thresholds of these levels has a vote on one: above a graver one it has."""
    return level in levels or vote >= level


def quorum(rule: ConsensusRule, bundles: int) -> int:
    """Return how many of so many bundles carry a finding: any takes 1, majority more than half."""
    return {"any": 1, "majority": bundles // 2 + 1, "all": max(bundles, 1)}[rule]


def count_votes(
    votes: Sequence[Vote], rule: ConsensusRule, levels: Sequence[Collection[Vote]] | None = None
) -> Vote:
    """Return the gravest vote that enough bundles have cast, a graver one counting as a lighter one, too.

    Args:
        levels: of which votes each bundle has a threshold, all of them if not given. By a threshold that it
            lacks, a bundle has found nothing either way.
    """
    levels = levels or [_LEVELS] * len(votes)
    for level in _LEVELS:
        cast = [vote >= level for vote, own in zip(votes, levels, strict=True) if can_vote(vote, own, level)]
        if any(level in own for own in levels) and sum(cast) >= quorum(rule, len(cast)):
            return level
    return Vote.DISSENT if any(votes) else Vote.CLEAR


@dataclass(frozen=True, slots=True)
class Consensus:
    """A row and several bundles' opinions of it, in the order in which the bundles were named."""

    where: Where
    fingerprint: str
    excerpt: str
    opinions: tuple[Opinion, ...]

    @classmethod
    def of(cls, row: ScoredRow | Violation) -> Consensus:
        """Return the opinions on a row, or those behind a finding."""
        return cls(row.where, row.fingerprint, row.excerpt, row.opinions)

    @property
    def percentiles(self) -> list[float]:
        """Those that are known."""
        return [o.percentile for o in self.opinions if o.percentile is not None]

    @property
    def mean_percentile(self) -> float | None:
        """None unless every bundle has a calibration."""
        known = self.percentiles
        return sum(known) / len(known) if known and len(known) == len(self.opinions) else None

    @property
    def max_percentile(self) -> float | None:
        """None unless every bundle has a calibration."""
        return max(self.percentiles) if self.mean_percentile is not None else None

    @property
    def risky(self) -> tuple[str, ...]:
        """The bundles that find the row risky."""
        return tuple(o.bundle for o in self.opinions if o.risky)

    @property
    def agreement(self) -> float | None:
        """The share of bundles that are of the more common opinion, 0.5 to 1; None without thresholds."""
        if any(o.risky is None for o in self.opinions):
            return None
        share = len(self.risky) / len(self.opinions)
        return max(share, 1 - share)

    @property
    def only(self) -> str | None:
        """The one bundle among several that finds the row risky, where the others do not."""
        alone = len(self.risky) == 1 and len(self.opinions) > 1 and self.agreement is not None
        return self.risky[0] if alone else None
