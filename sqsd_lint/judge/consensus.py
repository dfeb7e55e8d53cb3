"""What several bundles say of one row, and how far they agree.

Raw scores of two bundles cannot be compared; percentiles of each one's benign calibration can.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqsd_lint.types import Opinion, Violation, Where

__all__ = ["Consensus", "Opinion"]


@dataclass(frozen=True, slots=True)
class Consensus:
    """A row and what several bundles say of it, in the order in which they were named."""

    where: Where
    fingerprint: str
    excerpt: str
    opinions: tuple[Opinion, ...]

    @classmethod
    def of(cls, violation: Violation) -> Consensus:
        """What stands behind a finding."""
        return cls(violation.where, violation.fingerprint, violation.excerpt, violation.opinions)

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
