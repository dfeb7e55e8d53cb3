"""A row on its way to token ids: Row -> Sample -> Encoded. Whatever cannot go on becomes a Problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Turns = Literal["all", "last"]

LongAnswers = Literal["windows", "cut"]

Parts = Literal["auto", "all", "off"]

Truncated = Literal["", "prompt", "response", "prompt+response"]


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

    @property
    def sqsd(self) -> None:
        """None: there is no score. Rows of either kind can be asked alike."""

    @property
    def percentile(self) -> None:
        """None, as for `sqsd`."""


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

OTHER_TEXT = (*CALLS, *THOUGHTS, "refusal")

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
class AnswerWindow:
    """A part of what a row trains on, where that is longer than one sequence: the part that was scored.

    Attributes:
        number: 1-based, in the order of the answer.
        count: how many windows there are.
        start, end: its response tokens, 0-based, end exclusive, counted over all trained turns.
        tokens: response tokens of the row.
    """

    number: int
    count: int
    start: int
    end: int
    tokens: int

    @property
    def name(self) -> str:
        """Return what it is called in reports."""
        return "window"

    def __str__(self) -> str:
        return (
            f"the worst of {self.count:,} {self.name}s: "
            f"response tokens {self.start + 1:,} to {self.end:,} of {self.tokens:,}"
        )


@dataclass(frozen=True, slots=True)
class AnswerPart(AnswerWindow):
    """A small window within one turn of what a row trains on, whether or not that fits into a sequence.

    Attributes:
        turn: which of the turns that are trained on, 1-based.
    """

    turn: int

    @property
    def name(self) -> str:
        """Return what it is called in reports."""
        return "part"

    def __str__(self) -> str:
        return f"{AnswerWindow.__str__(self)}, in trained turn {self.turn:,}"


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
        window: which part of the sample's answers the labels are, where they are longer than one sequence.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    truncated: Truncated = ""
    response_tokens: int = 0
    response_lost: int = 0
    dropped: tuple[str, ...] = ()
    window: AnswerWindow | None = None
