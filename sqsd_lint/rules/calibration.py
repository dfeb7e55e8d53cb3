"""Where a row's risk stands among those of known rows: percentiles, z-scores, shares at or above a value."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import NormalDist
from typing import Any

from sqsd_lint.common.length_curve import (
    PERCENTILES,
    LengthCurve,
    bands_of,
    order_statistic,
    proportion,
    resolves,
)
from sqsd_lint.common.reference_range import ReferenceRange
from sqsd_lint.common.statistics import largest_of, wilson
from sqsd_lint.errors import BundleCorruptError
from sqsd_lint.types import Score

# How many times the number of a row's parts counts in the chance of its highest one: parts of benign rows lie
# higher than whole rows of their length (docs/dilution.md).
PART_FACTOR = 10

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
        curve: percentiles of benign scores by length; with it, risks are normal scores.
        harm_weight: what the projection on the fitted direction counts beside SQSD.
        covered: what the benign rows are like; None where that is not known.
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
    covered: ReferenceRange | None = None
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
        """Return what thresholds are compared with: SQSD and the weighted harm, placed by length."""
        return self.placed(
            score.combined(self.harm_weight), score.tokens, score.part.count if score.part else 0
        )

    def placed(self, score: float, tokens: int, parts: int = 0) -> float:
        """Return where SQSD and the weighted harm stand among benign answers of so many tokens.

        Args:
            parts: of which this is the highest, 0 for a row as a whole. One of many is high by chance.
        """
        risk = self.curve.normal_score(score, tokens)
        return largest_of(risk, PART_FACTOR * parts) if parts and self.curve.tokens else risk

    def percentile(self, risk: float) -> float:
        """Return the share of benign rows below the risk, in percent.

        Of rows of its length, where lengths are known: then a risk is at or above the threshold `p99` exactly
        if its percentile is 99 or more, and none is finer than the rows of a band of lengths resolve. Else
        of all rows, of which tied ones count half (mid-rank).
        """
        if self.curve.tokens:
            return min(100 * NormalDist().cdf(risk), self.finest()) if risk == risk else math.nan
        below, up_to = bisect_left(self.benign, risk), bisect_right(self.benign, risk)
        return 50.0 * (below + up_to) / len(self.benign)

    def z(self, risk: float) -> float | None:
        """Return the standard deviations above the benign mean; None where benign risks do not differ.

        A risk by length is a normal score, and so its own.
        """
        if self.curve.tokens:
            return risk
        return (risk - self.mean) / self.spread if self.spread else None

    def value_at(self, percentile: float) -> float:
        """Return the risk that a new benign row reaches with probability of at most 1 - percentile / 100.

        It lies just above the k-th smallest of n benign risks, k = ceil((n + 1) percentile / 100): the
        finite-sample rule of split conformal prediction, which needs no assumption but exchangeable rows.
        Where n is too small for that (see `can_resolve`), it lies just above the largest.

        Where lengths are known, the curve was fitted by this rule, for every band of lengths and each kind of
        rows in it (`conformal_score`), and the threshold is the percentile's normal score.
        """
        if self.curve.tokens:
            return NormalDist().inv_cdf(percentile / 100)
        return math.nextafter(order_statistic(self.benign, 1 - proportion(percentile)), math.inf)

    def can_resolve(self, percentile: float) -> bool:
        """Tell whether the benign rows, of every band of lengths, suffice for what `value_at` promises."""
        return resolves(self._band_rows, 1 - proportion(percentile))

    @property
    def _band_rows(self) -> int:
        """How many rows the extremes of a length are taken from."""
        return len(self.benign) // (bands_of(len(self.benign)) if self.curve.tokens else 1)

    def finest(self) -> float:
        """Return the highest percentile that the benign rows of a length can resolve, to two decimals."""
        return math.floor(10000 * (1 - 1 / (self._band_rows + 1))) / 100

    def rate_interval(self, value: float) -> tuple[float, float]:
        """Return a 95 % interval (Wilson's) of the share of benign rows at or above a value."""
        return wilson(self.benign_above(value), len(self.benign))

    def harmful_value_at(self, percentile: float) -> float:
        """Return the score that a new harmful row falls short of in at most `percentile` percent of cases.

        It is the k-th smallest of m harmful scores, k = floor((m + 1) percentile / 100), at least 1.

        Raises:
            ValueError: there is no harmful score.
        """
        if not self.harmful:
            raise ValueError("the calibration has no harmful scores")
        rank = math.floor((len(self.harmful) + 1) * proportion(percentile))
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
                        "scores": dict(zip(PERCENTILES, map(list, self.curve.scores), strict=True)),
                        "covered": asdict(self.covered) if self.covered else None,
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


def _conditional(data: Mapping[str, Any]) -> dict[str, Any]:
    """Read what a calibration holds of kinds and lengths; nothing where it is of the time before."""
    if "length" not in data:
        return {}
    length = data["length"]
    scores = tuple(tuple(map(_number, length["scores"][each])) for each in PERCENTILES)
    curve = LengthCurve(tuple(map(_number, length["tokens"])), scores)
    covered = length["covered"]
    return {
        "kinds": {str(kind): tuple(map(_number, own)) for kind, own in data["kinds"].items()},
        "curve": curve,
        "harm_weight": _number(data.get("harm_weight", 0.0)),
        "covered": _covered(covered) if covered else None,
    }


def _covered(data: Mapping[str, Any]) -> ReferenceRange:
    shortest, longest = map(int, map(_number, data["tokens"]))
    forms = tuple(map(str, data.get("forms", ())))
    loss = tuple((int(_number(most)), _number(low), _number(high)) for most, low, high in data["loss"])
    return ReferenceRange((shortest, longest), loss, tuple(map(str, data["scripts"])), forms)


def _at_or_above(scores: tuple[float, ...], value: float) -> float:
    return (len(scores) - bisect_left(scores, value)) / len(scores)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected a number, got {type(value).__name__}")
    return float(value)
