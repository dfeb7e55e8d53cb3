"""Lists of messages, in OpenAI's form (role, content) and in ShareGPT's (from, value).

Prompt and answer, each as text or as messages, put together to one conversation.

Values of a row's columns and messages as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqsd_lint.read.decode import Decoder
from sqsd_lint.types import Message

# A JSON text inside a CSV cell or a string column has the same bounds as a row of its own.
_MAX_DEPTH = 64


class Malformed(Exception):
    """The row fits no schema, or not the one it seems to have. `to_sample` turns it into SQSD303."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def is_missing(value: Any) -> bool:
    """None, or the NaN that pandas writes in its place."""
    return value is None or (isinstance(value, float) and value != value)


def as_text(value: Any, what: str) -> str:
    """The text of a value: numbers and booleans as Python prints them, a missing one as "".

    Raises:
        Malformed: an array, an object or binary data; `what` names the place in the message.
    """
    if type(value) is str:
        return value
    if is_missing(value):
        return ""
    if isinstance(value, (bool, int, float)):
        return str(value)
    raise Malformed(f"{what} holds {kind_of(value)}, where text was expected")


def from_json_text(value: Any, what: str) -> Any:
    """A value that may come as JSON text, as CSV cells and string columns hold it, decoded.

    Raises:
        Malformed: text that is no sound JSON.
    """
    if type(value) is not str:
        return value
    try:
        decoded, fault = Decoder(_MAX_DEPTH).decode(value)
    except (ValueError, RecursionError):
        decoded, fault = None, "not JSON"
    if fault:
        raise Malformed(
            f"{what} holds text where an array was expected, and the text is no JSON array: {fault}"
        )
    return decoded


def kind_of(value: Any) -> str:
    """What a value is, in the words of JSON."""
    if isinstance(value, (list, tuple)):
        return "an array"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (bytes, bytearray)):
        return "binary data"
    names = {str: "a string", bool: "a boolean", int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), f"a {type(value).__name__}")


def quoted(names: Any, most: int = 12) -> str:
    """Names for a message, cut so that a hostile row cannot flood it."""
    shown = [repr(str(name)[:40]) for name in list(names)[:most]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "") if shown else "none"


_HH_TURN = re.compile(r"\n\n(Human|Assistant): ?")


def ask(question: str, contexts: Iterable[str]) -> str:
    """The user's turn: the instruction, then each context after a blank line; blank parts leave no trace."""
    return "\n\n".join(part for part in (question, *contexts) if part.strip())


def with_system(raw: Mapping[str, Any], turns: Turns) -> Turns:
    """Put the row's `system` or `system_prompt` first, unless the conversation brings its own."""
    messages, mask = turns
    name = "system" if not is_missing(raw.get("system")) else "system_prompt"
    system = raw.get(name)
    if is_missing(system) or system == "" or (messages and messages[0].role in ("system", "developer")):
        return turns
    return [Message("system", as_text(system, f"column {name!r}")), *messages], [False, *mask]


def exchange(prompt: Any, answer: Any, prompt_name: str, answer_name: str) -> Turns:
    """A prompt that is not trained on, then an answer that is.

    Args:
        prompt, answer: text, or messages (a list, or one message alone).
        prompt_name, answer_name: the columns, for error messages.

    Raises:
        Malformed: neither text nor messages.
    """
    asked = _prompt(prompt, prompt_name)
    if not isinstance(answer, (list, dict)):
        text = as_text(answer, f"column {answer_name!r}")
        return [*asked, Message("assistant", text)], [False] * len(asked) + [True]
    messages, mask = parse_messages(
        [answer] if isinstance(answer, dict) else answer, f"column {answer_name!r}"
    )
    if messages[: len(asked)] == asked:
        # The whole conversation, prompt repeated.
        return messages, [False] * len(asked) + mask[len(asked) :]
    return [*asked, *messages], [False] * len(asked) + mask


def _prompt(prompt: Any, name: str) -> list[Message]:
    if isinstance(prompt, list):
        return parse_messages(prompt, f"column {name!r}")[0]
    return [Message("user", as_text(prompt, f"column {name!r}"))]


def whole_conversation(chosen: Any, rejected: Any) -> Turns:
    r"""The chosen one of two conversations; trained on are its answers behind what both have in common.

    Args:
        chosen, rejected: lists of messages, or transcripts in the form of HH-RLHF, in which the turns begin
            with "\n\nHuman:" and "\n\nAssistant:".

    Raises:
        Malformed: neither of the two.
    """
    messages, mask = _conversation(chosen, "chosen")
    other = [] if is_missing(rejected) else _conversation(rejected, "rejected")[0]
    shared = 0
    # The last message is always the answer, also where both conversations are the same.
    while shared < min(len(messages) - 1, len(other)) and messages[shared] == other[shared]:
        shared += 1
    if not other:
        shared = max(len(messages) - 1, 0)
    return messages, [False] * shared + mask[shared:]


def _conversation(value: Any, name: str) -> Turns:
    if isinstance(value, list):
        return parse_messages(value, f"column {name!r}")
    if isinstance(value, str):
        start, *turns = _HH_TURN.split(value)
        if turns and not start:
            roles = ["user" if speaker == "Human" else "assistant" for speaker in turns[::2]]
            messages = [Message(role, text) for role, text in zip(roles, turns[1::2], strict=True)]
            return messages, [role == "assistant" for role in roles]
    raise Malformed(
        f"column {name!r} holds {kind_of(value)} without a prompt",
        hint="add a column prompt, or write chosen and rejected as lists of messages",
    )


ROLES = {
    **{role: role for role in ("system", "developer", "user", "assistant", "tool")},
    **dict.fromkeys(("human", "prompter"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "model", "bot", "ai", "bing", "bard", "function_call"), "assistant"),
    **dict.fromkeys(("function", "function_response", "observation", "ipython"), "tool"),
}
"""Role names as data sets write them (in lower case), and as chat templates know them."""

# What chat templates read besides. Everything else in a message is metadata.
_EXTRA = ("tool_calls", "tool_call_id", "name", "function_call", "reasoning_content", "thinking")
_TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}

Turns = tuple[list[Message], list[bool]]


def parse_messages(value: Any, what: str) -> Turns:
    """Messages, and for each whether it is trained on: assistant turns, unless their `weight` is 0.

    Args:
        value: a list of messages, or the JSON text of one.
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
        message, trained = _message(item, number, what)
        messages.append(message)
        mask.append(trained)
    return messages, mask


def _message(item: Any, number: int, what: str) -> tuple[Message, bool]:
    if not isinstance(item, dict):
        raise Malformed(f"message {number} of {what} is {kind_of(item)}, where an object was expected")
    role = item.get("role")
    content_key = "content"
    if role is None:
        role = item.get("from")
        content_key = "value" if "value" in item else "content"
    known = ROLES.get(role) if type(role) is str else None
    if known is None:
        known = _unusual_role(role, item, number, what)
    extra = {}
    if len(item) > 2:
        extra = {key: item[key] for key in _EXTRA if not _empty(item.get(key))}
        _check_tool_calls(extra, number, what)
    content = item.get(content_key)
    if type(content) is not str:
        if content_key not in item and not extra:
            raise Malformed(f"message {number} of {what} has no content; its keys: {quoted(item)}")
        content = _text_of(content, f"message {number} of {what}")
    return Message(known, content, extra), known == "assistant" and _weight(item, number, what) != 0


def _unusual_role(role: Any, item: dict[str, Any], number: int, what: str) -> str:
    if role is None:
        raise Malformed(
            f"message {number} of {what} has no role; its keys: {quoted(item)}",
            hint="a message has role and content, or from and value",
        )
    known = ROLES.get(role.strip().lower()) if isinstance(role, str) else None
    if known is None:
        raise Malformed(
            f"message {number} of {what} has the unknown role {str(role)[:40]!r}",
            hint="use system, developer, user, assistant or tool",
        )
    return known


def _text_of(content: Any, what: str) -> str:
    """Content that may be a list of parts; chat templates join the text of parts without a separator."""
    if not isinstance(content, list):
        return as_text(content, what)
    texts = []
    for part in content:
        kind = part.get("type", "text") if isinstance(part, dict) else None
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(kind, str) and kind in _TEXT_PARTS:
            texts.append(as_text(part.get(_TEXT_PARTS[kind]), what))
        else:
            found = f"a part of type {str(kind)[:40]!r}" if kind is not None else kind_of(part)
            raise Malformed(f"{what} contains {found}: only text can be scored")
    return "".join(texts)


def _weight(item: dict[str, Any], number: int, what: str) -> float:
    weight = item.get("weight")
    if is_missing(weight):
        return 1.0
    if isinstance(weight, (int, float)):
        return float(weight)
    raise Malformed(f"message {number} of {what} has a weight that is {kind_of(weight)}, expected 0 or 1")


def _empty(value: Any) -> bool:
    """Columnar formats fill what a message lacks with null or an empty list."""
    return is_missing(value) or value in ("", [], {})


def _check_tool_calls(extra: dict[str, Any], number: int, what: str) -> None:
    calls = extra.get("tool_calls", [])
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise Malformed(f"message {number} of {what} has tool_calls that are no array of objects")


def parse_tools(value: Any) -> tuple[dict[str, Any], ...]:
    """Tool definitions for the chat template: an array of objects, or its JSON text.

    Raises:
        Malformed: anything else.
    """
    if _empty(value):
        return ()
    tools = from_json_text(value, "column 'tools'")
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise Malformed(f"column 'tools' holds {kind_of(tools)}, where an array of objects was expected")
    return tuple(tools)
