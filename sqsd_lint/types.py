"""What the rooms hand to one another, in the order in which data walks through them.

Row -> Sample -> Encoded -> Score -> Violation -> Report. Whatever cannot go on becomes a Problem, which
travels beside the others to the report: nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from sqsd_lint.heads import Agreement as Agreement
from sqsd_lint.heads import ConsensusRule as ConsensusRule
from sqsd_lint.heads import Head as Head
from sqsd_lint.heads import Line as Line

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
            (Parquet, Arrow); 0 for the file as a whole.
        index: 0-based row number in the file; -1 for the file as a whole.
    """

    file: str
    line: int
    index: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it stands in the file: `raw` is the decoded JSON value (mostly a dict)."""

    where: Where
    raw: Any


@dataclass(frozen=True, slots=True)
class Problem:
    """A row or file that could not be scored, or could be only in part.

    Attributes:
        code: SQSD301 (unscorable row), SQSD303 (malformed row) or SQSD304 (unreadable file).
        message: what is wrong and what was expected. May quote hostile text: escape before display.
        hint: what to do.
        excerpt: the start of the offending text, for the report.
        rows: how many rows are lost with it (0 when unknown: a whole file).
    """

    code: str
    where: Where
    message: str
    hint: str = ""
    excerpt: str = ""
    fingerprint: str = ""
    rows: int = 1


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
    """

    fingerprint: str
    messages: tuple[Message, ...]
    mask: tuple[bool, ...]
    where: Where
    schema: str = "messages"
    tools: tuple[Mapping[str, Any], ...] = ()
    suppression: Suppression | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """A sample as token ids.

    Attributes:
        ids: [t] token ids, at most max_length of them.
        labels: [t] the id where the token is trained on, else -100; labels[0] is always -100.
        truncated: which part lost tokens.
        response_tokens: how many labels count (int).
        response_lost: how many response tokens were cut off.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    truncated: Truncated = ""
    response_tokens: int = 0
    response_lost: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """SQSD of one sample: sqsd = danger - safety, each in the metric's unit (METHOD: cosine sums to [-M, M]).

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

    @classmethod
    def of(
        cls,
        sample: Sample,
        row: Encoded,
        projections: tuple[float, float],
        loss: float,
        drift: float,
        *,
        exact: bool,
    ) -> Score:
        """The score of a sample from its projections on danger and safety."""
        danger, safety = projections
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
        )


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one bundle says of a row that several bundles judge.

    Attributes:
        bundle: its id, with the first digits of its digest where two bundles have the same.
        risky: whether the score is at or above the bundle's lowest line; None where it has no line.
        line: which of its lines the score is at or above, the gravest; None below all of them.
    """

    bundle: str
    score: Score
    percentile: float | None
    risky: bool | None
    line: Severity | None = None


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
        notes: what was left out for another reason, in words.
    """

    rows: int
    scored: int
    cached: int = 0
    files: int = 0
    unreadable_files: int = 0
    allowed: int = 0
    unchanged: int = 0
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
