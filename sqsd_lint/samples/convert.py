"""Row to Sample.

A few words of a sample, for reports.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqsd_lint.samples.columns import Columns
from sqsd_lint.samples.conversation import Malformed, Turns, kind_of, parse_tools
from sqsd_lint.samples.fingerprint import fingerprint
from sqsd_lint.samples.inline_suppression import read_suppression
from sqsd_lint.samples.layouts import by_columns, detect
from sqsd_lint.types import Message, Problem, Row, Sample

_MOST = 240


def excerpt(sample: Sample) -> str:
    """The last prompt and the start of its answer, "prompt → answer", each cut at 240 characters.

    Raw text of the row: line breaks and control characters are in it, and escaping is the report's. Only lone
    surrogates are replaced, since no output could encode them.
    """
    return excerpt_of(sample.messages, sample.mask)


def excerpt_of(messages: Sequence[Message], mask: Sequence[bool]) -> str:
    """`excerpt` for a conversation that has not become a sample."""
    answer = next((i for i in reversed(range(len(messages))) if mask[i]), len(messages))
    prompt = next((m.content for m in reversed(messages[:answer]) if m.role == "user"), "")
    learnt = messages[answer].content if answer < len(messages) else ""
    text = " → ".join(_cut(part) for part in (prompt, learnt) if part)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _cut(text: str) -> str:
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"


# What a turn without words may still teach: the call of a tool, or a train of thought.
_ANSWERS_WITHOUT_WORDS = ("tool_calls", "function_call", "reasoning_content", "thinking")


def to_sample(row: Row, columns: Columns | None = None) -> Sample | Problem:
    """The training content of a row, whatever its schema.

    Args:
        row: as `read_rows` yields it.
        columns: the columns that the user named; without them the schema is found row by row.

    Returns:
        A Sample, or a Problem: SQSD303 for a row of no known schema or with something other than text in it,
        SQSD301 (with its fingerprint) for one that has nothing to train on.
    """
    raw = row.raw
    try:
        if not isinstance(raw, dict):
            raise Malformed(f"{kind_of(raw)}, where an object (a row) was expected")
        if columns is None:
            schema = detect(raw)
            name, turns = schema.name, schema.turns(raw)
        else:
            name, turns = by_columns(raw, columns)
        messages, mask = turns
        tools = parse_tools(raw["tools"]) if "tools" in raw else ()
        digest = fingerprint(messages, mask, tools)
    except Malformed as error:
        return Problem("SQSD303", row.where, error.message, error.hint, excerpt=_start(raw))
    except (TypeError, ValueError, RecursionError) as error:
        message = f"tool calls or tools hold what JSON cannot: {error}"
        return Problem("SQSD303", row.where, message, excerpt=_start(raw))
    nothing = _nothing_learnt(name, turns)
    if nothing:
        message, hint = nothing
        return Problem("SQSD301", row.where, message, hint, excerpt_of(messages, mask), digest)
    suppression = read_suppression(raw)
    return Sample(digest, tuple(messages), tuple(mask), row.where, name, tools, suppression)


def _nothing_learnt(schema: str, turns: Turns) -> tuple[str, str] | None:
    """Why no token of a conversation would be trained on, and what to do; None when one would."""
    messages, mask = turns
    answered = False
    for message, trained in zip(messages, mask, strict=True):
        if trained:
            if message.content and not message.content.isspace():
                return None
            if message.extra and any(name in message.extra for name in _ANSWERS_WITHOUT_WORDS):
                return None
            answered = True
    if schema == "text" or (messages and messages[0].role == "text"):
        return "the text is empty", "remove the row"
    if answered:
        return "the answer is empty", "remove the row, or complete it"
    if any(message.role == "assistant" for message in messages):
        return (
            "every assistant turn has weight 0: nothing is trained on",
            "remove the row, or give a turn weight 1",
        )
    return "no assistant turn: nothing is trained on", "remove the row, or complete it"


def _start(raw: object) -> str:
    """The start of a row as it would be printed, without printing all of a large one."""
    values = list(raw.items())[:4] if isinstance(raw, dict) else [("", raw)]
    parts = [
        f"{str(key)[:40]}: {value[:80] if isinstance(value, str) else kind_of(value)}"
        for key, value in values
    ]
    return ", ".join(parts).removeprefix(": ").encode("utf-8", "backslashreplace").decode("utf-8")
