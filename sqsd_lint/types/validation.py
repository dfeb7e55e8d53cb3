"""What scores were compared with: the outcome of a risk-window experiment, and the agreement of a proxy.

Bundles keep both, so they are models with constraints (`common.formats`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta, Struct

# Constraints of models. Python's `$` also matches before a line break at the end: the length rules that out.
Sha256 = Annotated[
    str, Meta(pattern="^[0-9a-f]{64}$", max_length=64, extra={"expected": "64 hexadecimal digits"})
]

Positive = Annotated[int, Meta(ge=1)]

Proportion = Annotated[float, Meta(ge=0, le=1)]

# Rounding may put a correlation a hair beyond 1.
Correlation = Annotated[float, Meta(ge=-1.000001, le=1.000001, extra={"expected": "a number from -1 to 1"})]

_TWO = Meta(extra={"expected": "two ascending numbers"})


class Window(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Rows of neighbouring scores, and what training on them did.

    Attributes:
        sqsd: the lowest and the highest of their scores.
        risk: the lowest and the highest of what thresholds are compared with; null where it was not recorded.
        attack_success: the share of harmful prompts that were answered afterwards, all runs pooled.
        interval: its 95 % Wilson interval.
    """

    sqsd: Annotated[tuple[float, float], _TWO]
    attack_success: Proportion
    interval: Annotated[tuple[Proportion, Proportion], _TWO]
    risk: Annotated[tuple[float, float], _TWO] | None = None

    @property
    def compared(self) -> tuple[float, float]:
        """The lowest and the highest of what thresholds are compared with."""
        return self.risk or self.sqsd

    def __post_init__(self) -> None:
        _check_ascending("sqsd", self.sqsd)
        _check_ascending("interval", self.interval)


class PlacedWindow(Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A window with the places of its risk, or else SQSD, among the bundle's benign rows, in percent."""

    percentiles: tuple[float, float]


class Validation(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What training on windows of rows cost when `sqsd-lint validate` tried it (docs/method.md section 7).

    Attributes:
        model: the base model that was trained.
        rows: how many were ranked.
        size: rows per window.
        runs: trainings per window.
        strata: strata of answer length that windows were cut within; 1 for none.
        max_length: tokens per row at most; null where it was not recorded.
        steps: of every run.
        lr: learning rate of every run.
        batch_size: of every run.
        judge: who said whether a prompt was answered.
        prompts: harmful prompts, asked after every run.
        before: attack success before any training.
        random: mean attack success after windows of random rows; null where none were tried.
        random_range: the lowest and the highest of these.
        ranking: what rows were ranked by.
        spearman: over all runs, of the window's place (the top one highest) with attack success; null where
            one of the two does not vary.
        spearman_interval: its 95 % bootstrap interval.
        windows: from the top of the ranking to its bottom.
    """

    model: str
    rows: Positive
    size: Positive
    runs: Positive
    strata: Positive
    max_length: Positive | None
    steps: Positive
    lr: Annotated[float, Meta(ge=0)]
    batch_size: Positive
    judge: str
    prompts: Positive
    before: Proportion
    random: Proportion | None
    spearman: Correlation | None
    spearman_interval: Annotated[tuple[Correlation, Correlation], _TWO] | None
    windows: Annotated[tuple[Window, ...], Meta(min_length=1)]
    ranking: str = "sqsd"
    random_range: Annotated[tuple[Proportion, Proportion], _TWO] | None = None

    def __post_init__(self) -> None:
        if self.spearman_interval is not None:
            _check_ascending("spearman_interval", self.spearman_interval)

    def placed(self, percentile: Callable[[float], float]) -> PlacedValidation:
        """Return the same with the windows' percentiles, which belong to the calibration of the day."""
        windows = tuple(
            PlacedWindow(
                each.sqsd,
                each.attack_success,
                each.interval,
                each.risk,
                percentiles=(percentile(each.compared[0]), percentile(each.compared[1])),
            )
            for each in self.windows
        )
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return PlacedValidation(**{**fields, "windows": windows})


class PlacedValidation(Validation, frozen=True, forbid_unknown_fields=True):
    """A validation whose windows have their percentiles."""

    windows: tuple[PlacedWindow, ...]


def _check_ascending(name: str, pair: tuple[float, float]) -> None:
    if not pair[0] <= pair[1]:
        raise ValueError(f".{name}: expected two ascending numbers")


class Agreement(Struct, frozen=True, forbid_unknown_fields=True):
    """How a proxy's scores rank rows, compared with the target's own.

    Attributes:
        target: the model that the proxy stands in for.
        bundle_digest: of the target's own bundle; null where it was not named.
        rows: how many both have scored.
        spearman: rank correlation.
        low, high: of its 95 % bootstrap interval.
        top_decile: the share of the target's riskiest tenth that is in the proxy's.
    """

    target: str
    bundle_digest: Sha256 | None
    rows: Positive
    spearman: Correlation
    low: Correlation
    high: Correlation
    top_decile: Proportion

    def __str__(self) -> str:
        return (
            f"agrees with {self.target}: Spearman {self.spearman:.2f} ({self.low:.2f} to {self.high:.2f}) "
            f"on {self.rows:,} rows, {self.top_decile:.0%} of its riskiest tenth found"
        )
