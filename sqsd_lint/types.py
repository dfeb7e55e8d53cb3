"""What the rooms hand to one another, in the order in which data walks through them.

Row -> Sample -> Encoded -> Score -> Violation -> Report. Whatever cannot go on becomes a Problem, which
travels beside the others to the report: nothing is dropped.

The head of a report: what scored the rows, and at which thresholds they were judged.

What scores cost when they were tried: the outcome of a risk-window experiment, as a bundle keeps it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal

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


class Window(Struct, frozen=True, forbid_unknown_fields=True):
    """Rows of neighbouring scores, and what training on them did.

    Attributes:
        sqsd: the lowest and the highest of their scores.
        attack_success: the share of harmful prompts that were answered afterwards, all runs pooled.
        interval: its 95 % Wilson interval.
    """

    sqsd: Annotated[tuple[float, float], _TWO]
    attack_success: Proportion
    interval: Annotated[tuple[Proportion, Proportion], _TWO]

    def __post_init__(self) -> None:
        _check_ascending("sqsd", self.sqsd)
        _check_ascending("interval", self.interval)


class PlacedWindow(Window, frozen=True, forbid_unknown_fields=True):
    """A window with the places of `sqsd` among the bundle's benign rows, in percent."""

    percentiles: tuple[float, float]


class Validation(Struct, frozen=True, forbid_unknown_fields=True):
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
                (percentile(each.sqsd[0]), percentile(each.sqsd[1])),
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


ConsensusRule = Literal["any", "majority", "all"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where a finding begins: a threshold resolved to a raw score.

    Attributes:
        spec: as the user wrote it: "7.5", "p99.9", "z3".
        value: the raw score; a row at or above it is a finding.
        benign_share, harmful_share: shares of the calibration sets at or above it, None if uncalibrated.
    """

    spec: str
    value: float
    benign_share: float | None = None
    harmful_share: float | None = None


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
            no threshold that holds for all.
        consensus: then, how many of them it takes.
    """

    base_model: str
    bundle_id: str
    bundle_digest: str
    metric: str
    expansion: str
    dtype: str
    device: str
    error_threshold: Threshold | None
    warning_threshold: Threshold | None
    notes: tuple[str, ...] = ()
    validation: PlacedValidation | None = None
    proxy_for: str = ""
    agreement: Agreement | None = None
    uncovered: float = 0.0
    bundles: tuple[Head, ...] = ()
    consensus: ConsensusRule | None = None


Metric = Literal["cosine", "projection", "dot"]
Expansion = Literal["paper", "shared"]
DirectionKind = Literal["task-vector", "margin-gradient"]
Update = Literal["lora", "full"]
Turns = Literal["all", "last"]
Truncated = Literal["", "prompt", "response", "prompt+response"]


class Severity(str, Enum):
    """How much a violation weighs; only errors fail a run."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a data file.

    Attributes:
        file: the path as the user gave it, `<stdin>` for standard input.
        line: 1-based line where the row starts; the 1-based row number in formats without lines
            (Parquet, Arrow, several files in one archive); 0 for the file as a whole.
        index: 0-based row number in the file; -1 for the file as a whole.
        element: 1-based row number where several rows begin on the line, as in a JSON document on one line;
            else 0.
    """

    file: str
    line: int
    index: int
    element: int = 0

    @property
    def place(self) -> str:
        """Return the place in the file: "12", "1#3" for row 3 on a line of several, "" for a file."""
        if not self.line:
            return ""
        return f"{self.line}#{self.element}" if self.element else str(self.line)

    def __str__(self) -> str:
        return f"{self.file}:{self.place}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it stands in the file.

    Attributes:
        raw: the decoded JSON value (mostly a dict).
        span: where the row's bytes begin and end in the decompressed content, its end of line included where
            it is a line; None where a row has no bytes of its own (Parquet, Arrow, a table by columns).
    """

    where: Where
    raw: Any
    span: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A row or file that could not be scored, or could be only in part.

    Attributes:
        code: SQSD301 (unscorable row), SQSD303 (malformed row) or SQSD304 (unreadable file).
        message: what is wrong and what was expected. May quote hostile text: escape before display.
        hint: what to do.
        excerpt: the start of the offending text, for the report.
        rows: how many rows are lost with it (0 when unknown: a whole file).
        fold: what it has in common with those of other rows of its file that are the same finding, "" where
            it is the row's own.
        foreign: whether the row does not look like a sample at all.
    """

    code: str
    where: Where
    message: str
    hint: str = ""
    excerpt: str = ""
    fingerprint: str = ""
    rows: int = 1
    fold: str = ""
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Undesirable:
    """A row whose answer training pushes away from, as from a rejected one: it is not judged.

    Attributes:
        fingerprint: of the row with nothing learnt, so that it is another one once the sign is turned.
        sign: the column or flag that says so: "label", "kto_tag".
    """

    where: Where
    fingerprint: str
    sign: str


CALLS = ("tool_calls", "function_call")
THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought", "thoughts")
BESIDE = (*CALLS, *THOUGHTS, "refusal")
"""Keys of a message that hold what an assistant says beside its `content`; some templates write them."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `extra` holds what a chat template may read besides (tool_calls, name, tool_call_id)."""

    role: str
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Suppression:
    """Findings on a row that somebody has looked at and accepted.

    Attributes:
        codes: the rules that are silenced, whole codes.
        reason: why; a suppression without one is refused.
    """

    codes: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Sample:
    """The training content of a row, in one form whatever its schema.

    Attributes:
        fingerprint: 32 hex digits, a 128-bit BLAKE2b of the canonical training content alone.
        messages: the conversation. A row of plain `text` is one message of role "text".
        mask: per message, whether its tokens are trained on (assistant turns of non-zero weight).
        schema: name of the schema found ("messages", "alpaca", ...).
        tools: the row's tool definitions for the chat template, if it has any.
        suppression: what the row's own `sqsd_lint` field asks for; no part of the fingerprint.
        remarks: what of the row is not scored, or not as it says, in words that hold for many rows.
    """

    fingerprint: str
    messages: tuple[Message, ...]
    mask: tuple[bool, ...]
    where: Where
    schema: str = "messages"
    tools: tuple[Mapping[str, Any], ...] = ()
    suppression: Suppression | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Encoded:
    """A sample as token ids.

    Attributes:
        ids: [t] token ids, at most max_length of them.
        labels: [t] the id where the token is trained on, else -100; labels[0] is always -100.
        truncated: which part lost tokens.
        response_tokens: how many labels count (int).
        response_lost: how many response tokens were cut off.
        dropped: what trained turns hold that the chat template does not write: keys of a message, or
            "<think>" for a thought within the content.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    truncated: Truncated = ""
    response_tokens: int = 0
    response_lost: int = 0
    dropped: tuple[str, ...] = ()


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

    def __post_init__(self) -> None:
        if math.isnan(self.risk):
            object.__setattr__(self, "risk", self.sqsd)

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
        """The score of a sample from its projections on danger, safety and, where there is one, harm."""
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
            *more,
        )


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
    """

    where: Where
    fingerprint: str
    excerpt: str
    score: Score
    percentile: float | None = None
    z: float | None = None
    suppression: Suppression | None = None
    opinions: tuple[Opinion, ...] = ()

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


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many rows there were and how many have a score; `files` counts the files that were read.

    Attributes:
        allowed: rows without a score that the user accepts by name.
        unchanged: rows that the old version of a file holds already, which are not judged; no part of `rows`.
        not_read: files, folders and links that a search passed by and that may hold rows; no part of `files`.
        notes: what was left out for another reason, in words.
    """

    rows: int
    scored: int
    cached: int = 0
    files: int = 0
    unreadable_files: int = 0
    allowed: int = 0
    unchanged: int = 0
    not_read: int = 0
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return self.scored + self.allowed >= self.rows and self.unreadable_files == 0


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a report format may show. `exit_code` is the verdict before --exit-zero.

    Attributes:
        violations: without those that the baseline or a suppression answers.
        baselined, suppressed: how many findings those answered.
    """

    head: Head
    violations: tuple[Violation, ...]
    coverage: Coverage
    exit_code: int
    seconds: float = 0.0
    rows: tuple[ScoredRow, ...] = ()
    next_steps: tuple[str, ...] = ()
    baselined: int = 0
    suppressed: int = 0
