"""What goes between client and service: the one place that says so, for both sides and for OpenAPI.

JSON over HTTP. The service also answers what it was not asked for by settings: a request that names none is
scored under its own, and every answer says under which.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from math import isfinite, nan
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from sqsd_lint.common.formats import Count, FieldError, JsonModel, Positive, Sha256, text_like
from sqsd_lint.samples.fingerprint import fingerprint
from sqsd_lint.types import AnswerPart, AnswerWindow, Message, Problem, Sample, Score, Truncated, Where

PROTOCOL = 1
"""Raised whenever an old client or service would misread a new one.

A client passes over keys of an answer that it does not know: a new key must leave the meaning of the others
as it was, or come only where a request's settings ask for it. A service refuses unknown keys and settings of
a request, since rows may not be scored otherwise than was asked.
"""

BUNDLE_PATH, SCORES_PATH = "/v1/bundle", "/v1/scores"
MOST_ROWS = 256
MOST_BYTES = 32 << 20

_Fingerprint = Annotated[str, text_like(r"^[0-9a-f]{32}(?!\n)$", "32 hex digits")]
# What people are shown; a service that lies may send more than anybody can read.
_Words = Annotated[str, Meta(max_length=4000)]
_Name = Annotated[str, Meta(max_length=200)]


class RowMessage(JsonModel, frozen=True):
    """One turn of a row.

    Attributes:
        role: whose turn it is, as chat templates name it; "text" of a row of plain text.
        content: its text.
        trained: whether its tokens are trained on. Default: those of the assistant, and plain text.
        extra: what a chat template may read besides, such as tool_calls.
    """

    role: str
    content: str
    trained: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class RowToScore(JsonModel, frozen=True):
    """The training content of a row. Neither its file nor its place in it is asked for.

    Attributes:
        messages: the conversation.
        tools: tool definitions for the chat template.
        fingerprint: of the content; refused if it is another row's. Default: the service computes it.
    """

    messages: Annotated[tuple[RowMessage, ...], Meta(min_length=1)]
    tools: tuple[Mapping[str, Any], ...] = ()
    fingerprint: _Fingerprint | None = None


class ScoreRequest(JsonModel, frozen=True):
    """What a client asks for.

    Attributes:
        rows: to score; no two of them the same.
        settings: what a score depends on besides the row (`GET /v1/bundle` has the service's own), or part of
            it. A service that cannot score under them refuses.
    """

    rows: Annotated[tuple[RowToScore, ...], Meta(min_length=1, max_length=MOST_ROWS)]
    settings: Mapping[str, Any] = field(default_factory=dict)


class ScoredWindow(JsonModel, frozen=True):
    """The piece of a row that its score is about, where that is not the whole of its answers.

    Attributes:
        number: of the window, from 1 on.
        count: how many there are.
        start, end: its answer tokens, from 0 on, the end not in it.
        tokens: answer tokens of the row.
        turn: the trained turn that it lies in, from 1 on; 0 for a window of a row longer than a sequence.
    """

    number: Count
    count: Count
    start: Count
    end: Count
    tokens: Count
    turn: Count = 0

    @classmethod
    def of(cls, window: AnswerWindow) -> ScoredWindow:
        """Return a window, or a part, as it is sent."""
        return cls(*astuple(window))

    def window(self) -> AnswerWindow:
        """Return the window, or the part, that was sent."""
        place = self.number, self.count, self.start, self.end, self.tokens
        return AnswerPart(*place, self.turn) if self.turn else AnswerWindow(*place)


class RowScore(JsonModel, frozen=True, tag_field="kind", tag="score"):
    """A row's score.

    Attributes:
        fingerprint: of the row's content.
        danger, safety, sqsd: the projections on each direction, and danger less safety; null where it is not
            finite, which no rule takes for a score.
        tokens: answer tokens that were scored.
        truncated: what of the row was cut off.
        response_lost: answer tokens that were cut off.
        harm: the projection on the bundle's fitted direction; null where it has none.
        loss: mean cross-entropy of the answer, in nats a token; null where it is unknown.
        drift: how far one step of size 1 goes along the danger direction; null where it is unknown.
        dropped: what the row's trained turns hold that the chat template does not write.
        window: the part that the score is about, the worst one; null where it is about the whole row.
    """

    fingerprint: _Fingerprint
    danger: float | None
    safety: float | None
    sqsd: float | None
    tokens: Count
    truncated: Truncated
    response_lost: Count
    harm: float | None
    loss: float | None
    drift: float | None
    dropped: tuple[_Name, ...] = ()
    window: ScoredWindow | None = None

    @classmethod
    def of(cls, score: Score, dropped: Sequence[str] = ()) -> RowScore:
        """Return a score as it is sent; the risk is the client's to compute, by the calibration."""
        return cls(
            score.fingerprint,
            _or_none(score.danger),
            _or_none(score.safety),
            _or_none(score.sqsd),
            score.tokens,
            score.truncated,
            score.response_lost,
            None if score.harm is None else _or_none(score.harm),
            _or_none(score.loss),
            _or_none(score.drift),
            tuple(dropped),
            ScoredWindow.of(score.window) if score.window else None,
        )

    def score(self, *, exact: bool) -> Score:
        """Return the score that was sent."""
        danger, safety = _or_nan(self.danger), _or_nan(self.safety)
        return Score(
            self.fingerprint,
            danger,
            safety,
            danger - safety,
            self.tokens,
            self.truncated,
            self.response_lost,
            _or_nan(self.loss),
            exact,
            _or_nan(self.drift),
            self.harm,
            window=self.window.window() if self.window else None,
        )


class RowProblem(JsonModel, frozen=True, tag_field="kind", tag="problem"):
    """Why a row has no score.

    Attributes:
        fingerprint: of the row's content.
        code: the rule that it breaks.
        message: what is wrong.
        hint: what to do.
    """

    fingerprint: _Fingerprint
    code: Literal["SQSD301", "SQSD302", "SQSD303", "SQSD304"]
    message: _Words
    hint: _Words = ""

    @classmethod
    def of(cls, digest: str, problem: Problem) -> RowProblem:
        """Return a problem as it is sent."""
        return cls(digest, problem.code, problem.message[:4000], problem.hint[:4000])  # type: ignore[arg-type]


class ScoreResponse(JsonModel, frozen=True):
    """The answer to a `ScoreRequest`.

    Attributes:
        bundle: the digest of the bundle that scored.
        settings: all that the scores depend on besides the rows.
        rows: one answer a row, in the order asked.
        notes: what a report has to say of how rows were rendered or computed.
    """

    bundle: Sha256
    settings: Mapping[str, Any]
    rows: tuple[RowScore | RowProblem, ...]
    notes: Annotated[tuple[_Words, ...], Meta(max_length=20)] = ()


class ServiceLimits(JsonModel, frozen=True):
    """What a request may hold.

    Attributes:
        rows: in one request.
        bytes: of its body.
        max_length: the largest max_length that rows are scored under.
    """

    rows: Positive
    bytes: Positive
    max_length: Positive


class ServiceInfo(JsonModel, frozen=True, kw_only=True):
    """What the service scores with.

    Attributes:
        protocol: version of this contract.
        version: of sqsd-lint.
        digest: of the bundle.
        manifest: the bundle's bundle.json, which the digest is over: directions, calibration, validation.
        settings: what scores depend on besides the row, where a request names nothing else.
        device: what computes.
        uncovered: the share of the base model's parameters that no score covers.
        parts: whether it scores rows' worst parts (`settings.worst_part`).
        limits: what a request may hold.
    """

    protocol: Literal[1]
    version: _Name
    digest: Sha256
    manifest: Mapping[str, Any]
    settings: Mapping[str, Any]
    device: _Name
    uncovered: Annotated[float, Meta(ge=0, le=1)] = 0.0
    parts: bool = False
    limits: ServiceLimits


class ServiceFault(JsonModel, frozen=True):
    """Why a request was not answered.

    Attributes:
        error: what is wrong.
        hint: what to do.
    """

    error: _Words
    hint: _Words = ""


def row_of(sample: Sample) -> dict[str, Any]:
    """Return a sample as it is sent, without the place that it comes from."""
    messages = [
        {
            "role": message.role,
            "content": message.content,
            "trained": trained,
            **({"extra": message.extra} if message.extra else {}),
        }
        for message, trained in zip(sample.messages, sample.mask, strict=True)
    ]
    row: dict[str, Any] = {"messages": messages, "fingerprint": sample.fingerprint}
    return {**row, "tools": sample.tools} if sample.tools else row


def sample_of(row: RowToScore, index: int) -> Sample:
    """Return the sample in a row that was sent.

    Raises:
        FieldError: the fingerprint is not that of the content: it would be cached as another row's.
    """
    messages = tuple(Message(each.role, each.content, each.extra) for each in row.messages)
    mask = tuple(
        each.role in ("assistant", "text") if each.trained is None else each.trained for each in row.messages
    )
    digest = fingerprint(messages, mask, row.tools)
    if row.fingerprint not in (None, digest):
        raise FieldError(f"rows[{index}].fingerprint: expected {digest}, which is that of the content")
    return Sample(digest, messages, mask, Where("request", 0, index), tools=row.tools)


def encode(value: Any) -> bytes:
    """Return JSON in ASCII: it holds lone surrogates, which rows may have and UTF-8 cannot."""
    return json.dumps(value, separators=(",", ":"), default=dict).encode("ascii")


def decode_request(body: bytes) -> Any:
    """Return the JSON of a request; NaN is in some rows' tool calls, and part of their content.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def texts(notes: Iterable[str]) -> tuple[str, ...]:
    """Return notes as they are sent: each once, and none longer than a reader would take."""
    return tuple(note[:4000] for note in dict.fromkeys(notes))[:20]


def _or_none(value: float) -> float | None:
    return value if isfinite(value) else None


def _or_nan(value: float | None) -> float:
    return nan if value is None else value
