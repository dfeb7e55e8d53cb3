"""What several bundles say of one row, and how far they agree.

Raw scores of two bundles cannot be compared; percentiles of each one's benign calibration can.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqsd_lint.types import Score, Where


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one bundle says of a row.

    Attributes:
        bundle: its id, with the first digits of its digest where two bundles have the same.
        risky: whether the score is at or above the bundle's lowest line; None where it has no line.
    """

    bundle: str
    score: Score
    percentile: float | None
    risky: bool | None


@dataclass(frozen=True, slots=True)
class Consensus:
    """A row and what several bundles say of it, in the order in which they were named."""

    where: Where
    fingerprint: str
    excerpt: str
    opinions: tuple[Opinion, ...]

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
        """The share of bundles that are of the more common opinion, from 0.5 to 1; None without lines."""
        if any(o.risky is None for o in self.opinions):
            return None
        share = len(self.risky) / len(self.opinions)
        return max(share, 1 - share)

    @property
    def only(self) -> str | None:
        """The one bundle among several that finds the row risky, where the others do not."""
        alone = len(self.risky) == 1 and len(self.opinions) > 1 and self.agreement is not None
        return self.risky[0] if alone else None
