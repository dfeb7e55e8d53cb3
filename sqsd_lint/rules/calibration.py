"""Where a score stands among those of known rows: percentiles, z-scores, shares at or above a value."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from sqsd_lint.errors import BundleCorruptError


@dataclass(frozen=True, slots=True)
class ScoreCalibration:
    """SQSD scores of the reference sets that a bundle was calibrated on; no adapter was trained on them.

    Raw scores differ between models, so thresholds are best taken from these distributions. A bundle keeps
    them in its manifest; this is the form that scores are compared with.

    Attributes:
        benign: scores of the benign reference rows; sorted on construction, at least one.
        harmful: scores of the known-harmful reference rows; sorted on construction, may be empty.
        tolerance: largest difference between dtypes seen on rows near the thresholds, in score units.
        benign_sets, harmful_sets: names of the reference sets.
        mean, spread: mean and sample standard deviation of the benign scores.

    Raises:
        ValueError: no benign score, or a number that is not finite.
    """

    benign: tuple[float, ...]
    harmful: tuple[float, ...] = ()
    tolerance: float = 0.0
    benign_sets: tuple[str, ...] = ()
    harmful_sets: tuple[str, ...] = ()
    mean: float = field(init=False)
    spread: float = field(init=False)

    def __post_init__(self) -> None:
        if not self.benign:
            raise ValueError("a calibration needs at least one benign score")
        if not all(map(math.isfinite, (*self.benign, *self.harmful, self.tolerance))) or self.tolerance < 0:
            raise ValueError("calibration scores must be finite and the tolerance not negative")
        count = len(self.benign)
        mean = math.fsum(score / count for score in self.benign)
        spread = math.hypot(*(score - mean for score in self.benign)) / math.sqrt(max(count - 1, 1))
        object.__setattr__(self, "benign", tuple(sorted(self.benign)))
        object.__setattr__(self, "harmful", tuple(sorted(self.harmful)))
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "spread", spread)

    def percentile(self, score: float) -> float:
        """Return the share of benign rows below the score, in percent; tied rows count half (mid-rank)."""
        below, up_to = bisect_left(self.benign, score), bisect_right(self.benign, score)
        return 50.0 * (below + up_to) / len(self.benign)

    def z(self, score: float) -> float | None:
        """Return the standard deviations above the benign mean; None where benign scores do not differ."""
        return (score - self.mean) / self.spread if self.spread else None

    def value_at(self, percentile: float) -> float:
        """Return the score that a new benign row reaches with probability of at most 1 - percentile / 100.

        It lies just above the k-th smallest of n benign scores, k = ceil((n + 1) percentile / 100): the
        finite-sample rule of split conformal prediction, which needs no assumption but exchangeable rows.
        Where n is too small for that (see `can_resolve`), it lies just above the largest.
        """
        rank = min(self._rank(percentile), len(self.benign))
        return math.nextafter(self.benign[rank - 1], math.inf)

    def can_resolve(self, percentile: float) -> bool:
        """Tell whether there are enough benign rows for `value_at` to keep its promise."""
        return self._rank(percentile) <= len(self.benign)

    def harmful_value_at(self, percentile: float) -> float:
        """Return the score that a new harmful row falls short of in at most `percentile` percent of cases.

        It is the k-th smallest of m harmful scores, k = floor((m + 1) percentile / 100), at least 1.

        Raises:
            ValueError: there is no harmful score.
        """
        if not self.harmful:
            raise ValueError("the calibration has no harmful scores")
        rank = math.floor((len(self.harmful) + 1) * _share(percentile))
        return self.harmful[max(rank, 1) - 1]

    def benign_above(self, value: float) -> int:
        """Count the benign rows at or above a value."""
        return len(self.benign) - bisect_left(self.benign, value)

    def benign_share(self, value: float) -> float:
        """Return the share of benign rows at or above a value, in [0, 1]."""
        return _at_or_above(self.benign, value)

    def harmful_share(self, value: float) -> float | None:
        """Return the share of known-harmful rows at or above a value, in [0, 1]; None without any."""
        return _at_or_above(self.harmful, value) if self.harmful else None

    def to_json(self) -> dict[str, Any]:
        """Return the form that `from_json` reads back."""
        return {
            "benign": list(self.benign),
            "harmful": list(self.harmful),
            "tolerance": self.tolerance,
            "sets": {
                "benign": [{"name": name} for name in self.benign_sets],
                "harmful": [{"name": name} for name in self.harmful_sets],
            },
        }

    @classmethod
    def from_json(cls, data: Any) -> ScoreCalibration:
        """Read `calibration` of a bundle's manifest; keys that are not about scores are left alone.

        Raises:
            BundleCorruptError: scores, tolerance or names of the sets are missing or of the wrong kind.
        """
        try:
            return cls(
                benign=tuple(map(_number, data["benign"])),
                harmful=tuple(map(_number, data["harmful"])),
                tolerance=_number(data["tolerance"]),
                benign_sets=tuple(str(one["name"]) for one in data["sets"]["benign"]),
                harmful_sets=tuple(str(one["name"]) for one in data["sets"]["harmful"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as fault:
            raise BundleCorruptError(
                f"the calibration in the bundle's manifest is damaged: {fault}",
                hint="Calibrate the bundle again with `sqsd-lint bundle calibrate`.",
            ) from None

    def _rank(self, percentile: float) -> int:
        return max(math.ceil((len(self.benign) + 1) * _share(percentile)), 1)


def _share(percentile: float) -> Fraction:
    """Return a percentile as a fraction, exact for the decimal as written: floats put ranks off by one."""
    return Fraction(str(percentile)) / 100


def _at_or_above(scores: tuple[float, ...], value: float) -> float:
    return (len(scores) - bisect_left(scores, value)) / len(scores)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected a number, got {type(value).__name__}")
    return float(value)
