"""The head of a report: what scored the rows, and at which lines they were judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqsd_lint.tried import Validation

ConsensusRule = Literal["any", "majority", "all"]


@dataclass(frozen=True, slots=True)
class Line:
    """A threshold resolved to a raw score.

    Attributes:
        spec: as the user wrote it: "7.5", "p99.9", "z3".
        value: the raw score; a row at or above it is a finding.
        benign_share, harmful_share: shares of the calibration sets at or above it, None if uncalibrated.
    """

    spec: str
    value: float
    benign_share: float | None = None
    harmful_share: float | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a proxy's scores rank rows, compared with the target's own.

    Attributes:
        target: the model that the proxy stands in for.
        bundle_digest: of the target's own bundle; None where it was not named.
        rows: how many both have scored.
        spearman: rank correlation; low, high: its 95 % bootstrap interval.
        top_decile: the share of the target's riskiest tenth that is in the proxy's.
    """

    target: str
    bundle_digest: str | None
    rows: int
    spearman: float
    low: float
    high: float
    top_decile: float

    def __str__(self) -> str:
        return (
            f"agrees with {self.target}: Spearman {self.spearman:.2f} ({self.low:.2f} to {self.high:.2f}) "
            f"on {self.rows:,} rows, {self.top_decile:.0%} of its riskiest tenth found"
        )


@dataclass(frozen=True, slots=True)
class Head:
    """What two machines must share to report the same violations: the head of every report.

    Attributes:
        validation: what the bundle's scores cost when it was tried.
        proxy_for: the model that the bundle stands in for; empty where it is the bundle's own.
        agreement: of the proxy with that model's own scores, if it was measured.
        uncovered: the share of the base model's parameters that no direction can cover: weights of experts
            that are no linear layers.
        bundles: where several judge, the head of each; then the texts above are all of theirs, and there is
            no line that holds for all.
        consensus: then, how many of them it takes.
    """

    base_model: str
    bundle_id: str
    bundle_digest: str
    metric: str
    expansion: str
    dtype: str
    device: str
    error_line: Line | None
    warning_line: Line | None
    notes: tuple[str, ...] = ()
    validation: Validation | None = None
    proxy_for: str = ""
    agreement: Agreement | None = None
    uncovered: float = 0.0
    bundles: tuple[Head, ...] = ()
    consensus: ConsensusRule | None = None
