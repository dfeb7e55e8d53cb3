"""Lists of messages, in OpenAI's form (role, content) and in ShareGPT's (from, value)."""

from __future__ import annotations

from typing import Any

from sqsd_lint.samples.content import Malformed, as_text, from_json_text, is_missing, kind_of, quoted
from sqsd_lint.types import Message

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
