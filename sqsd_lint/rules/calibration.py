"""Where a row's risk stands among those of known rows: percentiles, z-scores, shares at or above a value."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from sqsd_lint.common.length_curve import LengthCurve
from sqsd_lint.errors import BundleCorruptError
from sqsd_lint.types import Score

# No kind of benign rows may reach a percentile's threshold more often than this multiple of its rate, or than
# one row in a hundred: a rate that holds for all kinds together can be the dilution of one kind by others.
KIND_FACTOR, KIND_RATE = 5, Fraction(1, 100)

# Scores that are compared whatever the length of the answer.
NO_CURVE = LengthCurve()


@dataclass(frozen=True, slots=True)
class ScoreCalibration:
    """Risks of the reference rows that a bundle was calibrated on; no adapter was trained on one.

    Raw scores differ between models and with the length of answers, so thresholds are best taken from these
    distributions. A bundle keeps them in its manifest; this is the form that risks are compared with.

    Attributes:
        benign: risks of the benign reference rows; sorted on construction, at least one.
        harmful: risks of the known-harmful reference rows; sorted on construction, may be empty.
        tolerance: largest difference between dtypes seen on rows near the thresholds, in units of risk.
        benign_sets, harmful_sets: names of the reference sets.
        kinds: risks of the benign rows by kind, sorted on construction; empty where kinds are not known.
        curve: what a score is standardized by, so that it is compared with answers of its length.
        harm_weight: what the projection on the fitted direction counts beside SQSD.
        tokens: the shortest and the longest benign answer, in tokens; None where that is not known.
        mean, spread: mean and sample standard deviation of the benign risks.

    Raises:
        ValueError: no benign risk, or a number that is not finite.
    """

    benign: tuple[float, ...]
    harmful: tuple[float, ...] = ()
    tolerance: float = 0.0
    benign_sets: tuple[str, ...] = ()
    harmful_sets: tuple[str, ...] = ()
    kinds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    curve: LengthCurve = NO_CURVE
    harm_weight: float = 0.0
    tokens: tuple[int, int] | None = None
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
        object.__setattr__(self, "kinds", {kind: tuple(sorted(own)) for kind, own in self.kinds.items()})
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "spread", spread)

    def risk(self, score: Score) -> float:
        """Return what thresholds are compared with: SQSD and the weighted harm, standardized by length."""
        return self.curve.standardize(score.combined(self.harm_weight), score.tokens)

    def covers(self, tokens: int) -> bool:
        """Tell whether there are benign answers as short and as long as one of so many tokens."""
        return self.tokens is None or self.tokens[0] <= tokens <= self.tokens[1]

    def percentile(self, risk: float) -> float:
        """Return the share of benign rows below the risk, in percent; tied rows count half (mid-rank)."""
        below, up_to = bisect_left(self.benign, risk), bisect_right(self.benign, risk)
        return 50.0 * (below + up_to) / len(self.benign)

    def z(self, risk: float) -> float | None:
        """Return the standard deviations above the benign mean; None where benign risks do not differ."""
        return (risk - self.mean) / self.spread if self.spread else None

    def value_at(self, percentile: float) -> float:
        """Return the risk that a new benign row reaches with probability of at most 1 - percentile / 100.

        It lies just above the k-th smallest of n benign risks, k = ceil((n + 1) percentile / 100): the
        finite-sample rule of split conformal prediction, which needs no assumption but exchangeable rows.
        Where n is too small for that (see `can_resolve`), it lies just above the largest.

        Kinds of rows are not exchangeable. So it lies as high for each kind, too, as that kind's own rows say
        for `KIND_FACTOR` times the rate, one row in a hundred at least; a kind with too few rows for that has
        no say (`open_kinds`).
        """
        values = [_order_statistic(self.benign, 1 - _share(percentile))]
        rate = kind_rate(percentile)
        values += [_order_statistic(own, rate) for own in self.kinds.values() if _resolves(own, rate)]
        return math.nextafter(max(values), math.inf)

    def can_resolve(self, percentile: float) -> bool:
        """Tell whether there are enough benign rows for `value_at` to keep its promise."""
        return _resolves(self.benign, 1 - _share(percentile))

    def finest(self) -> float:
        """Return the highest percentile that the benign rows can resolve, to two digits of the rate."""
        return round(100 * (1 - 1 / (len(self.benign) + 1)) - 0.005, 2)

    def open_kinds(self, percentile: float) -> tuple[str, ...]:
        """Return the kinds of benign rows that are too few to bound their own rate at a percentile."""
        rate = kind_rate(percentile)
        return tuple(kind for kind, own in self.kinds.items() if not _resolves(own, rate))

    def rate_interval(self, value: float) -> tuple[float, float]:
        """Return a 95 % interval (Wilson's) of the share of benign rows at or above a value."""
        return wilson_interval(self.benign_above(value), len(self.benign))

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

    def most_exposed_kind(self, value: float) -> tuple[str, float] | None:
        """Return the kind of benign rows with the largest share at or above a value, and that share."""
        shares = [(_at_or_above(own, value), kind) for kind, own in self.kinds.items() if own]
        return max(shares)[::-1] if shares else None

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
            **(
                {
                    "kinds": {kind: list(own) for kind, own in self.kinds.items()},
                    "length": {
                        "tokens": list(self.curve.tokens),
                        "location": list(self.curve.location),
                        "scale": list(self.curve.scale),
                        "covered": list(self.tokens) if self.tokens else None,
                    },
                    "harm_weight": self.harm_weight,
                }
                if self.kinds or self.curve.tokens or self.harm_weight
                else {}
            ),
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
                **_conditional(data),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as fault:
            raise BundleCorruptError(
                f"the calibration in the bundle's manifest is damaged: {fault}",
                hint="Calibrate the bundle again with `sqsd-lint bundle calibrate`.",
            ) from None


def kind_rate(percentile: float) -> Fraction:
    """Return how often a single kind of benign rows may reach the threshold of a percentile."""
    return min(max(KIND_FACTOR * (1 - _share(percentile)), KIND_RATE), Fraction(1, 2))


def wilson_interval(found: int, of: int, z: float = 1.959964) -> tuple[float, float]:
    """Return Wilson's score interval of a share: 95 % by default."""
    if of == 0:
        return 0.0, 1.0
    share, spread = found / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / of + spread / (4 * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def _resolves(own: tuple[float, ...], rate: Fraction) -> bool:
    return (len(own) + 1) * rate >= 1


def _order_statistic(own: tuple[float, ...], rate: Fraction) -> float:
    """Return the k-th smallest of n, k = ceil((n + 1)(1 - rate)); the largest where n is too small."""
    rank = max(math.ceil((len(own) + 1) * (1 - rate)), 1)
    return own[min(rank, len(own)) - 1]


def _conditional(data: Mapping[str, Any]) -> dict[str, Any]:
    """Read what a calibration holds of kinds and lengths; nothing where it is of the time before."""
    if "length" not in data:
        return {}
    length = data["length"]
    curve = LengthCurve(*(tuple(map(_number, length[name])) for name in ("tokens", "location", "scale")))
    covered = length["covered"]
    return {
        "kinds": {str(kind): tuple(map(_number, own)) for kind, own in data["kinds"].items()},
        "curve": curve,
        "harm_weight": _number(data["harm_weight"]),
        "tokens": (int(_number(covered[0])), int(_number(covered[1]))) if covered else None,
    }


def _share(percentile: float) -> Fraction:
    """Return a percentile as a fraction, exact for the decimal as written: floats put ranks off by one."""
    return Fraction(str(percentile)) / 100


def _at_or_above(scores: tuple[float, ...], value: float) -> float:
    return (len(scores) - bisect_left(scores, value)) / len(scores)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected a number, got {type(value).__name__}")
    return float(value)
