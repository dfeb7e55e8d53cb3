"""Lists of messages: OpenAI's form (role, content), ShareGPT's (from, value), pairs, and transcripts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqsd_lint.samples.context import Context
from sqsd_lint.samples.roles import known_role, suggest_roles
from sqsd_lint.samples.training_flags import KEYS, is_trained
from sqsd_lint.samples.values import (
    Malformed,
    as_text,
    from_json_text,
    is_blank,
    is_missing,
    kind_of,
    quoted,
)
from sqsd_lint.types import OTHER_TEXT, Message

Turns = tuple[list[Message], list[bool]]

PROMPTS = (
    *("prompt", "instruction", "question", "input", "query", "inputs", "problem", "user", "human"),
    *("user_message", "user_prompt", "user_input", "input_text", "source_text"),
)
"""Columns that hold what is asked, the first of them that is there before the others."""

ANSWERS = (
    *("completion", "response", "output", "solution", "answer", "chosen", "outputs", "target", "targets"),
    *("assistant", "reply", "gpt", "bot", "assistant_message", "assistant_response", "model_response"),
    *("output_text", "target_text"),
)
"""Columns that hold what is learnt, in the same order."""

THOUGHT_COLUMNS = (
    *("cot", "complex_cot", "chain_of_thought", "reasoning", "reasoning_content", "reasoning_trace"),
    *("thinking", "thinking_trajectory", "thinking_trajectories", "thought", "thoughts"),
    *("rationale", "analysis", "scratchpad", "think", "reasoning_text", "tool_plan"),
)
"""What may be a part of an answer, and is learnt by nobody who does not say so."""

_ROLE_KEYS = ("role", "from", "speaker", "author", "sender")
_CONTENT_KEYS = ("content", "value", "text", "parts", "message", "utterance")
# What chat templates read besides. Everything else in a message is metadata.
_EXTRA = (*OTHER_TEXT, "tool_call_id", "name")
_TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_THOUGHT_PARTS = {"thinking": "thinking", "reasoning": "reasoning"}
_SPOKEN = frozenset((*THOUGHT_COLUMNS, *ANSWERS, *_CONTENT_KEYS))
_WORDS = 4  # of a text that may be a part of an answer; names, dates and ids have fewer
_READ_KEYS = frozenset((*_EXTRA, *KEYS))


def parse_messages(value: Any, what: str, context: Context) -> Turns:
    """Return messages, and for each whether it is trained on: assistant turns, unless a flag says no.

    Args:
        value: a list of messages, or the JSON text of one. A message may be a pair of prompt and answer.
        what: names the place in error messages: "column 'messages'".

    Raises:
        Malformed: not a list of messages.
    """
    items = from_json_text(value, what)
    if not isinstance(items, list):
        raise Malformed(f"{what} holds {kind_of(items)}, where an array of messages was expected")
    messages: list[Message] = []
    mask: list[bool] = []
    for number, item in enumerate(items, start=1):
        if isinstance(item, dict) and (names := _pair_names(item)):
            _add_pair(item, names, f"message {number} of {what}", context, messages, mask)
            continue
        before = messages[-1].role if messages else ""
        message, trained = _message(item, number, what, context, items, before)
        messages.append(message)
        mask.append(trained)
    return messages, mask


def _pair_names(item: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return which keys of an item are prompt and answer, where it is both in one."""
    if not item.keys().isdisjoint(_ROLE_KEYS):
        return None
    prompt = next((name for name in PROMPTS if name in item), None)
    answer = next((name for name in ANSWERS if name in item), None)
    return (prompt, answer) if prompt and answer else None


def _add_pair(
    item: Mapping[str, Any],
    names: tuple[str, str],
    what: str,
    context: Context,
    messages: list[Message],
    mask: list[bool],
) -> None:
    prompt, answer = names
    if not is_blank(item.get("system")):
        messages.append(Message("system", as_text(item["system"], what)))
        mask.append(False)
    messages.append(Message("user", as_text(item[prompt], what)))
    messages.append(Message("assistant", as_text(item[answer], what)))
    mask += [False, is_trained(item, True, what, context)]


def _message(
    item: Any, number: int, what: str, context: Context, items: Sequence[Any], before: str
) -> tuple[Message, bool]:
    if not isinstance(item, dict):
        raise Malformed(f"message {number} of {what} is {kind_of(item)}, where an object was expected")
    role = item.get("role")
    content_key = "content"
    if role is None:
        role, content_key = _other_keys(item)
    elif "content" not in item:
        content_key = _content_key(item)
    known = known_role(role, context.roles) if type(role) is str else None
    if known is None:
        known = _unusual_role(role, item, number, what, context, items, before)
    extra = {}
    place = f"message {number} of {what}"
    if len(item) > 2 and not item.keys().isdisjoint(_READ_KEYS):
        extra = {key: item[key] for key in _EXTRA if not _empty(item.get(key))}
        _check_tool_calls(extra, place)
    content = item.get(content_key)
    if type(content) is not str:
        if content_key not in item and not extra:
            raise Malformed(f"{place} has no content; its keys: {quoted(item)}")
        content = _text_of(content, place, known, extra)
    trained = is_trained(item, known == "assistant", place, context)
    if trained and len(item) > 2:
        for key in _unread_text(item, content_key):
            context.remark(f"turns with text under {key[:40]!r}, which is not part of what is scored")
    return Message(known, content, extra), trained


def _unread_text(item: Mapping[str, Any], content_key: str) -> list[str]:
    """Return the keys of a turn that hold sentences and that nobody reads: neither this nor a template."""
    return [
        key
        for key, value in item.items()
        if type(value) is str
        and key != content_key
        and key not in _READ_KEYS
        and key not in _ROLE_KEYS
        and (key in _SPOKEN or len(value.split(maxsplit=_WORDS)) >= _WORDS)
        and value.strip() not in str(item.get(content_key))
    ]


def _other_keys(item: Mapping[str, Any]) -> tuple[Any, str]:
    role = next((item[key] for key in _ROLE_KEYS if item.get(key) is not None), None)
    if isinstance(role, dict):  # {"author": {"role": "user"}}
        role = role.get("role", role)
    return role, "value" if "value" in item else _content_key(item)


def _content_key(item: Mapping[str, Any]) -> str:
    return next((key for key in _CONTENT_KEYS if key in item), "content")


def _unusual_role(
    role: Any,
    item: Mapping[str, Any],
    number: int,
    what: str,
    context: Context,
    items: Sequence[Any],
    before: str,
) -> str:
    if role is None:
        if item.keys().isdisjoint(_ROLE_KEYS):
            raise Malformed(
                f"message {number} of {what} has no role; its keys: {quoted(item)}",
                hint="a message has role and content, or from and value",
            )
        # A null: whoever speaks after the user is the assistant, and is scored.
        context.remark("turns whose role is null, taken for the user's and the assistant's in turn")
        return "assistant" if before in ("user", "tool") else "user"
    raise Malformed(
        f"message {number} of {what} has the unknown role {str(role)[:40]!r}",
        hint=f"use system, developer, user, assistant or tool, or name them: {_suggestion(items, context)}",
        fold="roles",
    )


def _suggestion(items: Sequence[Any], context: Context) -> str:
    unknown: dict[str, None] = {}
    known: list[str] = []
    for item in items[:100]:
        role = _other_keys(item)[0] if isinstance(item, dict) else None
        if isinstance(role, str):
            found = known_role(role, context.roles)
            if found is not None:
                known.append(found)
            elif len(role) <= 40:
                unknown[role] = None
    return suggest_roles(unknown, known)


def _text_of(content: Any, what: str, role: str, extra: dict[str, Any]) -> str:
    """Content that may be a list of parts; chat templates join the text of parts without a separator.

    Thoughts among the parts go into `extra`.
    """
    if isinstance(content, dict) and role == "tool":
        return json.dumps(content, ensure_ascii=False)
    if not isinstance(content, list):
        return as_text(content, what)
    if role == "tool" and not all(_is_part(part) for part in content):
        return json.dumps(content, ensure_ascii=False)
    texts = []
    for part in content:
        kind = part.get("type", "text") if isinstance(part, dict) else None
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(kind, str) and kind in _TEXT_PARTS:
            texts.append(as_text(part.get(_TEXT_PARTS[kind]), what))
        elif isinstance(kind, str) and kind in _THOUGHT_PARTS:
            key = _THOUGHT_PARTS[kind]
            extra[key] = as_text(extra.get(key), what) + as_text(part.get(key, part.get("text")), what)
        else:
            found = f"a part of type {str(kind)[:40]!r}" if kind is not None else kind_of(part)
            raise Malformed(f"{what} contains {found}: only text can be scored", fold="parts")
    return "".join(texts)


def _is_part(part: Any) -> bool:
    return isinstance(part, str) or (isinstance(part, dict) and ("type" in part or "text" in part))


def _empty(value: Any) -> bool:
    """Columnar formats fill what a message lacks with null or an empty list."""
    return is_missing(value) or value in ("", [], {})


def _check_tool_calls(extra: dict[str, Any], what: str) -> None:
    if isinstance(extra.get("tool_calls"), str):
        extra["tool_calls"] = from_json_text(extra["tool_calls"], f"tool_calls of {what}")
        if _empty(extra["tool_calls"]):
            del extra["tool_calls"]
    calls = extra.get("tool_calls", [])
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise Malformed(f"{what} has tool_calls that are no array of objects")


def parse_tools(value: Any, context: Context) -> tuple[dict[str, Any], ...]:
    """Return tool definitions for the chat template: an array of objects, or its JSON text.

    Chat templates take nothing else: names and prose are left out, with a remark.
    """
    if is_blank(value):
        return ()
    try:
        tools = from_json_text(value, "column 'tools'")
    except Malformed:
        tools = None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        context.remark("column 'tools' is no array of objects, as chat templates take them: left out")
        return ()
    return tuple(tools)


_SPEAKER = re.compile(r"^([A-Za-z][A-Za-z _-]{0,30}): ?", re.MULTILINE)
# What some sets leave at the end of every answer.
_ENDS = re.compile(r" ?(?:<\|endoftext\|>|</s>)\Z")


def parse_transcript(text: str, what: str, context: Context) -> Turns:
    r"""Return the turns of a text in which each begins with its speaker behind a blank line: "\n\nUSER: ...".

    A line like it inside a turn, with a word that is no role, belongs to the turn.

    Raises:
        Malformed: it begins with no speaker.
    """
    starts: list[tuple[int, int, str]] = []
    begins = len(text) - len(text.lstrip())
    for match in _SPEAKER.finditer(text):
        at = match.start()
        if at == begins or text.startswith("\n\n", at - 2):
            role = known_role(match[1], context.roles)
            if role is not None:
                starts.append((at, match.end(), role))
    if not starts or starts[0][0] != begins:
        raise Malformed(
            f"{what} holds text, where an array of messages or a transcript was expected",
            hint="write it as a list of messages, or begin each turn with its speaker behind a blank line",
            fold="transcript",
        )
    messages = []
    for number, (_, begin, role) in enumerate(starts):
        end = starts[number + 1][0] if number + 1 < len(starts) else len(text)
        messages.append(Message(role, _ENDS.sub("", text[begin:end].strip())))
    return messages, [message.role == "assistant" for message in messages]


_HH_TURN = re.compile(r"\n\n(Human|Assistant): ?")


def whole_conversation(chosen: Any, rejected: Any, context: Context) -> Turns:
    r"""Return the chosen one of two conversations; trained on are its answers behind what both share.

    Args:
        chosen, rejected: lists of messages, or transcripts in the form of HH-RLHF, in which the turns begin
            with "\n\nHuman:" and "\n\nAssistant:".

    Raises:
        Malformed: neither of the two.
    """
    messages, mask = _conversation(chosen, "chosen", context)
    other = [] if is_missing(rejected) else _conversation(rejected, "rejected", context)[0]
    shared = 0
    # The last message is always the answer, also where both conversations are the same.
    while shared < min(len(messages) - 1, len(other)) and messages[shared] == other[shared]:
        shared += 1
    if not other:
        shared = max(len(messages) - 1, 0)
    return messages, [False] * shared + mask[shared:]


def _conversation(value: Any, name: str, context: Context) -> Turns:
    if isinstance(value, list):
        return parse_messages(value, f"column {name!r}", context)
    if isinstance(value, str):
        if value.lstrip().startswith("["):  # a CSV cell
            return parse_messages(value, f"column {name!r}", context)
        start, *turns = _HH_TURN.split(value)
        if turns and not start:
            roles = ["user" if speaker == "Human" else "assistant" for speaker in turns[::2]]
            messages = [Message(role, text) for role, text in zip(roles, turns[1::2], strict=True)]
            return messages, [role == "assistant" for role in roles]
    raise Malformed(
        f"column {name!r} holds {kind_of(value)} without a prompt",
        hint="add a column prompt, or write chosen and rejected as lists of messages",
    )
