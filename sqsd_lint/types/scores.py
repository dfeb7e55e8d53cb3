"""What a row scores, and what decides it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqsd_lint.types.rows import AnswerPart, AnswerWindow, Encoded, Sample, Truncated

Metric = Literal["cosine", "projection", "dot"]

Expansion = Literal["paper", "shared"]

DirectionKind = Literal["task-vector", "margin-gradient"]

Update = Literal["lora", "full"]


@dataclass(frozen=True, slots=True)
class Score:
    """SQSD of one sample: sqsd = danger - safety, each in the metric's unit (docs/method.md section 4).

    Attributes:
        danger, safety, sqsd: the projections on each direction and their difference.
        tokens: response tokens that were scored.
        truncated: see Encoded.
        response_lost: response tokens that were cut off.
        loss: mean token cross-entropy over the response at the danger expansion point, in nats.
        exact: whether it was computed in float32 and fixed shape.
        drift: how far one SGD step of size 1 on the sample moves the weights along the danger direction: for
            a task vector, as a share of the danger adapter's own displacement; for a margin gradient, the
            gain in mean log-likelihood of the answers that it was taken of, in nats a token.
        harm: the projection on the bundle's fitted direction; None where it has none.
        risk: what thresholds are compared with: SQSD, or what the bundle makes of it and of harm; where its
            calibration knows the length of answers, in scales of benign rows of the same length.
        bound: of a row that was screened, not scored: what its risk lies below, and then `risk` itself; its
            projections are NaN. None of every row with a score.
        window: the part of the row that all of this is about, where its answers are longer than one sequence,
            or where one of their parts is judged: the one of the highest risk.
        whole: the score of the row as a whole, where one of its parts is judged.
    """

    fingerprint: str
    danger: float
    safety: float
    sqsd: float
    tokens: int
    truncated: Truncated = ""
    response_lost: int = 0
    loss: float = float("nan")
    exact: bool = False
    drift: float = float("nan")
    harm: float | None = None
    risk: float = float("nan")
    window: AnswerWindow | None = None
    whole: Score | None = None
    bound: float | None = None

    def __post_init__(self) -> None:
        if math.isnan(self.risk):
            object.__setattr__(self, "risk", self.sqsd)

    @property
    def part(self) -> AnswerPart | None:
        """The part that is judged; None where the row is judged as a whole, or in windows."""
        return self.window if isinstance(self.window, AnswerPart) else None

    @property
    def of_row(self) -> Score:
        """The score of the row as a whole, which training on it goes by, whichever part is judged."""
        return self.whole or self

    def combined(self, harm_weight: float) -> float:
        """Return SQSD plus the weighted projection on harm; NaN where that is asked for and not known."""
        if not harm_weight:
            return self.sqsd
        return self.sqsd + harm_weight * (math.nan if self.harm is None else self.harm)

    @property
    def is_sqsd_alone(self) -> bool:
        """Whether thresholds are compared with SQSD itself."""
        return self.risk == self.sqsd or (math.isnan(self.risk) and math.isnan(self.sqsd))

    @classmethod
    def of(
        cls,
        sample: Sample,
        row: Encoded,
        projections: Sequence[float],
        loss: float,
        drift: float,
        *,
        exact: bool,
    ) -> Score:
        """Return the score of a sample with its projections on danger, safety and, if there is one, harm."""
        danger, safety, *more = projections
        return cls(
            sample.fingerprint,
            danger,
            safety,
            danger - safety,
            row.response_tokens,
            row.truncated,
            row.response_lost,
            loss,
            exact,
            drift,
            more[0] if more else None,
            window=row.window,
        )
