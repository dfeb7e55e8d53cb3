"""Turn a row into a sample, and remark what of it is not scored.

Columns that look as if they were trained on, and are not read, are each named in a note.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sqsd_lint.samples.columns import Reading
from sqsd_lint.samples.context import Context
from sqsd_lint.samples.conversation import ANSWERS, PROMPTS, THOUGHT_COLUMNS, Turns, parse_tools
from sqsd_lint.samples.fingerprint import fingerprint
from sqsd_lint.samples.inline_suppression import read_suppression
from sqsd_lint.samples.layouts import by_columns, detect, read
from sqsd_lint.samples.readers import CONTEXTS
from sqsd_lint.samples.training_flags import SIGNS, pushing_sign
from sqsd_lint.samples.values import Malformed, is_blank, kind_of
from sqsd_lint.types import OTHER_TEXT, Message, Problem, Row, Sample, Undesirable

_MOST = 240
DEFAULT = Reading()

UNKNOWN = ("layout", "object")
"""What `Problem.fold` is of rows in which no layout is seen."""


def excerpt(sample: Sample) -> str:
    """Return the last prompt and the start of its answer, "prompt → answer", each cut at 240 characters.

    Raw text of the row: line breaks and control characters are in it, and escaping is the report's. Only lone
    surrogates are replaced, since no output could encode them.
    """
    return excerpt_of(sample.messages, sample.mask)


def excerpt_of(messages: Sequence[Message], mask: Sequence[bool]) -> str:
    """Return `excerpt` for a conversation that has not become a sample."""
    answer = next((i for i in reversed(range(len(messages))) if mask[i]), len(messages))
    prompt = next((m.content for m in reversed(messages[:answer]) if m.role == "user"), "")
    learnt = messages[answer].content if answer < len(messages) else ""
    text = " → ".join(_cut(part) for part in (prompt, learnt) if part)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def trained_form(sample: Sample) -> str:
    """Return what a sample trains on, in words: an answer, several of a conversation, or text alone."""
    first = sample.mask.index(True) if True in sample.mask else 0
    if not any(message.role == "user" for message in sample.messages[:first]):
        return "text without a prompt"
    return "a conversation" if sum(sample.mask) > 1 else "an answer"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"


def to_sample(row: Row, reading: Reading = DEFAULT) -> Sample | Problem | Undesirable:
    """Return the training content of a row, whatever its layout.

    Args:
        row: as `read_rows` yields it.
        reading: the columns and roles that the user named; what they do not fit is read by its layout.

    Returns:
        A Sample; an Undesirable for a row whose answer training pushes away from; or a Problem: SQSD303 for a
        row of no known layout or with something other than text in it, SQSD301 (with its fingerprint) for one
        that has nothing to train on.
    """
    raw = row.raw
    context = Context(reading.roles, reading.separator)
    columns = None
    try:
        if not isinstance(raw, dict):
            raise Malformed(f"{kind_of(raw)}, where an object (a row) was expected", fold="object")
        columns = reading.mapping_of(row.where.file, raw) if reading.mappings else None
        if columns is None:
            try:
                layout, known = detect(raw)
            except Malformed as error:
                others = reading.columns_for(row.where.file)
                raise others[0].missing(raw) if others else error from None
            turns = read(layout, known, context)
        else:
            layout, turns, known = by_columns(raw, columns, context)
        messages, mask = turns
        tools = parse_tools(known.get("tools") if context.tools is None else context.tools, context)
        digest = fingerprint(messages, mask, tools)
        sign = context.pushed_away if context.pushed_away and not any(mask) else ""
        if layout.signed and not sign:
            sign = pushing_sign(known, _signs(columns.label if columns else None))
        if sign or context.pushed_away == "labels":
            unlearnt = fingerprint(messages, [False] * len(mask), tools)
            return Undesirable(row.where, unlearnt, sign or "labels")
        for name in unread(known, turns):
            context.remark(f"rows with a column {name!r}, which is not part of what is scored")
    except Malformed as error:
        return Problem(
            "SQSD303",
            row.where,
            error.message,
            error.hint,
            excerpt=_start(raw),
            fold=error.fold,
            foreign=error.fold in UNKNOWN and not _looks_like_a_sample(raw),
        )
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        message = f"tool calls or tools hold what JSON cannot: {error}"
        return Problem("SQSD303", row.where, message, excerpt=_start(raw))
    nothing = _nothing_learnt(layout.name, turns)
    if nothing:
        message, hint = nothing
        return Problem("SQSD301", row.where, message, hint, excerpt_of(messages, mask), digest)
    suppression = read_suppression(raw)
    remarks = tuple(context.remarks)
    return Sample(digest, tuple(messages), tuple(mask), row.where, layout.name, tools, suppression, remarks)


def _signs(named: str | None) -> tuple[str, ...]:
    """Return the columns that may hold a row's sign; "" from a mapping says that none does."""
    return SIGNS if named is None else (named,) if named else ()


def _nothing_learnt(schema: str, turns: Turns) -> tuple[str, str] | None:
    """Return why no token of a conversation would be trained on, and what to do; None when one would."""
    messages, mask = turns
    answered = False
    for message, trained in zip(messages, mask, strict=True):
        if trained:
            if message.content and not message.content.isspace():
                return None
            if message.extra and any(name in message.extra for name in OTHER_TEXT):
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


def _looks_like_a_sample(raw: Any) -> bool:
    """Return whether a row of no known layout may still be one: two texts or more of several words."""
    values = list(raw.values())[:40] if isinstance(raw, dict) else []
    texts = [value for value in values if isinstance(value, str)]
    return sum(len(text.split(maxsplit=3)) > 2 for text in texts) > 1


def _start(raw: object) -> str:
    """Return the start of a row as it would be printed, without printing all of a large one."""
    values = list(raw.items())[:4] if isinstance(raw, dict) else [("", raw)]
    parts = [
        f"{str(key)[:40]}: {value[:80] if isinstance(value, str) else kind_of(value)}"
        for key, value in values
    ]
    return ", ".join(parts).removeprefix(": ").encode("utf-8", "backslashreplace").decode("utf-8")


T = TypeVar("T")


def fold(items: Iterable[T | Problem]) -> Iterator[T | Problem]:
    """Yield the items of one file, with one problem for all rows that have the same fault.

    The problem comes after the other rows, with the place of the first that has it and the count.
    """
    first: dict[str, Problem] = {}
    rows: Counter[str] = Counter()
    foreign: dict[str, bool] = {}
    for item in items:
        if not isinstance(item, Problem) or not item.fold:
            yield item
            continue
        first.setdefault(item.fold, item)
        rows[item.fold] += item.rows
        foreign[item.fold] = foreign.get(item.fold, True) and item.foreign
    for key, problem in first.items():
        count = rows[key]
        message = (
            problem.message if count == 1 else f"{count:,} rows, the first of them here: {problem.message}"
        )
        yield replace(problem, message=message, rows=count, foreign=foreign[key])


MEDIA = ("image", "images", "audio", "audios", "video", "videos", "pixel_values", "input_audio")
"""Columns that no text stands in."""

# Columns of these names hold metadata more often than text.
_METADATA = ("target", "targets", "user", "bot")
_SUSPECTS = frozenset((*PROMPTS, *ANSWERS, *THOUGHT_COLUMNS, *CONTEXTS)) - {*_METADATA}


def unread(raw: Mapping[str, Any], turns: Turns) -> list[str]:
    """Return the columns that look like a prompt, an answer or a thought, or hold media, and are not read."""
    found = [name for name in MEDIA if not is_blank(raw.get(name))]
    suspects = raw.keys() & _SUSPECTS
    for name in sorted(suspects):
        value = raw[name]
        texts = value if isinstance(value, list) else [value]
        words = [text for text in texts if isinstance(text, str) and text.strip()]
        if words and not all(any(text.strip() in known for known in _texts_of(turns)) for text in words):
            found.append(name)
    return found


def _texts_of(turns: Turns) -> list[str]:
    texts = []
    for message in turns[0]:
        texts.append(message.content)
        texts += [value for value in message.extra.values() if isinstance(value, str)]
    return texts
