"""Prompt and answer, each as text or as messages, put together to one conversation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqsd_lint.samples.content import Malformed, as_text, is_missing, kind_of
from sqsd_lint.samples.conversation import Turns, parse_messages
from sqsd_lint.types import Message

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
