"""What is found: thresholds, scored rows with the verdicts of several bundles, and violations."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from sqsd_lint.types.rows import Suppression, Where
from sqsd_lint.types.scores import Score

ConsensusRule = Literal["any", "majority", "all"]


class Severity(str, Enum):
    """How much a violation weighs; only errors fail a run."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where a finding begins: a threshold resolved to a raw score.

    Attributes:
        spec: as the user wrote it: "7.5", "p99.9", "z3".
        value: the raw score; a row at or above it is a finding.
        benign_share, harmful_share: shares of the calibration sets at or above it, None if uncalibrated.
        benign_interval: a 95 % interval of benign_share.
    """

    spec: str
    value: float
    benign_share: float | None = None
    harmful_share: float | None = None
    benign_interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Opinion:
    """One bundle's score and verdict on a row that several bundles judge.

    Attributes:
        bundle: its id, with the first digits of its digest where two bundles have the same.
        risky: whether the score is at or above the bundle's lowest threshold; None where it has none.
        level: which of its thresholds the score is at or above, the gravest; None below all of them.
    """

    bundle: str
    score: Score
    percentile: float | None
    risky: bool | None
    level: Severity | None = None


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """A row's place, text and score, as `score` prints it and `judge` reads it.

    Attributes:
        score, percentile, z: of the first bundle, where there are several.
        opinions: of every bundle, where there are several.
        invisible: names and counts of characters in the answers that nobody sees and no script needs.
        form: what the row trains on, in words: "an answer", "a conversation", "text without a prompt".
    """

    where: Where
    fingerprint: str
    excerpt: str
    score: Score
    percentile: float | None = None
    z: float | None = None
    suppression: Suppression | None = None
    opinions: tuple[Opinion, ...] = ()
    invisible: tuple[tuple[str, int], ...] = ()
    form: str = ""

    @property
    def sqsd(self) -> float:
        """Danger less safety: the score of the paper."""
        return self.score.sqsd

    @property
    def scores(self) -> tuple[Score, ...]:
        """One of each bundle."""
        return tuple(opinion.score for opinion in self.opinions) or (self.score,)


@dataclass(frozen=True, slots=True)
class Violation:
    """One finding.

    Attributes:
        rule: the code, SQSD101 and so on.
        name: the rule's name, high-risk-sample and so on.
        excerpt: raw text of the row, uncut and unescaped: the report cuts and escapes.
        hint: what to do.
        score: None where the finding is no row's, and where several bundles judge: theirs have no common
            unit.
        percentile: of the score; the mean of the bundles' percentiles where there are several.
        opinions: of the bundles that could score the row, where there are several.
    """

    rule: str
    name: str
    severity: Severity
    where: Where
    message: str
    fingerprint: str = ""
    excerpt: str = ""
    hint: str = ""
    score: Score | None = None
    percentile: float | None = None
    opinions: tuple[Opinion, ...] = ()
