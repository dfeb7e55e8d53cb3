"""How the rows of each layout become a conversation, and for each turn whether it is trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqsd_lint.samples.context import Context
from sqsd_lint.samples.conversation import (
    ANSWERS,
    PROMPTS,
    Turns,
    parse_messages,
    parse_transcript,
    whole_conversation,
)
from sqsd_lint.samples.suggestion import columns_line
from sqsd_lint.samples.training_flags import sign_of
from sqsd_lint.samples.values import (
    Malformed,
    as_number,
    as_text,
    from_json_text,
    is_blank,
    is_missing,
    kind_of,
)
from sqsd_lint.types import Message

Raw = Mapping[str, Any]

SYSTEMS = ("system", "system_prompt", "system_message")
CONTEXTS = ("input", "context")
TRANSCRIPTS = ("conversation", "dialog", "dialogue", "chat", "turns", "dialogs", "messages_list", "contents")
"""Columns of a conversation besides `messages` and `conversations`."""


def question_text(question: str, contexts: list[str], separator: str) -> str:
    """Return the user's turn: the instruction, then each context; blank parts leave no trace."""
    return separator.join(part for part in (question, *contexts) if part.strip())


def with_system(raw: Raw, turns: Turns) -> Turns:
    """Put the row's `system` or `system_prompt` first, unless the conversation brings its own."""
    messages, mask = turns
    if messages and messages[0].role in ("system", "developer"):
        return turns
    name = next((name for name in SYSTEMS if not is_blank(raw.get(name))), None)
    if name is None:
        return turns
    value = raw[name]
    if isinstance(value, list) and all(isinstance(part, (str, dict)) for part in value):
        parts = [part.get("text") if isinstance(part, dict) else part for part in value]
        value = "".join(as_text(part, f"column {name!r}") for part in parts)
    return [Message("system", as_text(value, f"column {name!r}")), *messages], [False, *mask]


def pair(raw: Raw, context: Context, prompt: str, answer: str, *, learn_history: bool = True) -> Turns:
    """Return what a row asks, with its history, context and system prompt, and the answer that is learnt.

    Args:
        prompt, answer: the columns; text, or messages (a list, or one message alone).
        learn_history: whether the answers of earlier rounds are learnt, too.

    Raises:
        Malformed: neither text nor messages.
    """
    asked = _prompt(raw[prompt], f"column {prompt!r}", context)
    others = [name for name in CONTEXTS if name != prompt and not is_blank(raw.get(name))]
    contexts = [_context(raw[name], f"column {name!r}", context) for name in others]
    if contexts:
        asked = _with_contexts(asked, contexts, context)
    messages, mask = _answered(asked, raw[answer], answer, context)
    if not is_blank(raw.get("history")):
        before, trained = _history(raw["history"], context)
        messages, mask = before + messages, [each and learn_history for each in trained] + mask
    return with_system(raw, (messages, mask))


def _prompt(prompt: Any, what: str, context: Context) -> list[Message]:
    if isinstance(prompt, list):
        return parse_messages(prompt, what, context)[0]
    return [Message("user", as_text(prompt, what))]


def _context(value: Any, what: str, context: Context) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return context.separator.join(value)
    return as_text(value, what)


def _with_contexts(asked: list[Message], contexts: list[str], context: Context) -> list[Message]:
    """Return the contexts behind what the user has asked last."""
    at = next((i for i in reversed(range(len(asked))) if asked[i].role == "user"), None)
    if at is None:
        return [*asked, Message("user", question_text("", contexts, context.separator))]
    last = asked[at]
    text = question_text(last.content, contexts, context.separator)
    return [*asked[:at], Message(last.role, text, last.extra), *asked[at + 1 :]]


def _answered(asked: list[Message], answer: Any, name: str, context: Context) -> Turns:
    what = f"column {name!r}"
    if isinstance(answer, list) and answer and not isinstance(answer[0], dict):
        raise Malformed(f"{what} holds an array, where text or messages were expected")
    if not isinstance(answer, (list, dict)):
        return [*asked, Message("assistant", as_text(answer, what))], [False] * len(asked) + [True]
    if isinstance(answer, dict) and answer.keys().isdisjoint(("role", "from", "content", "value")):
        raise Malformed(f"{what} holds an object, where text or messages were expected")
    messages, mask = parse_messages([answer] if isinstance(answer, dict) else answer, what, context)
    if messages[: len(asked)] == asked:
        # The whole conversation, prompt repeated.
        return messages, [False] * len(asked) + mask[len(asked) :]
    return [*asked, *messages], [False] * len(asked) + mask


def _history(history: Any, context: Context) -> Turns:
    """Earlier rounds: pairs of prompt and answer, or messages."""
    what = "column 'history'"
    if isinstance(history, str):
        try:
            history = from_json_text(history, what)
        except Malformed:
            history = None
        if is_blank(history):
            raise Malformed(f"{what} is no array of [prompt, answer] pairs", fold="history")
    items = history if isinstance(history, list) else [history]
    if all(isinstance(item, dict) for item in items):
        return parse_messages(items, what, context)
    messages: list[Message] = []
    for item in items:
        if not isinstance(item, list) or len(item) != 2:
            raise Malformed(f"{what} is no array of [prompt, answer] pairs")
        messages.append(Message("user", as_text(item[0], what)))
        messages.append(Message("assistant", as_text(item[1], what)))
    return messages, [message.role == "assistant" for message in messages]


def pair_of(prompt: str, answer: str) -> Callable[[Raw, Context], Turns]:
    """Return the reader of rows with these two columns."""
    return lambda raw, context: pair(raw, context, prompt, answer)


def messages_in(column: str) -> Callable[[Raw, Context], Turns]:
    """Return the reader of a column of messages."""
    return lambda raw, context: with_system(raw, parse_messages(raw[column], f"column {column!r}", context))


def preference(raw: Raw, context: Context) -> Turns:
    """Return the chosen one of two answers, or of two conversations."""
    chosen = raw["chosen"]
    prompts = ("prompt", "instruction", "question", "input", "conversations", "messages", "query")
    name = next((name for name in prompts if not is_missing(raw.get(name))), "")
    # A list that does not begin with an answer is the whole conversation: its prompt is in it.
    whole = (
        isinstance(chosen, list)
        and chosen
        and parse_messages(chosen[:1], "column 'chosen'", context)[1] == [False]
    )
    if not name or (whole and not isinstance(raw[name], list)):
        return with_system(raw, whole_conversation(chosen, raw.get("rejected"), context))
    return pair(raw, context, name, "chosen", learn_history=False)


def openai_preference(raw: Raw, context: Context) -> Turns:
    """Return the preferred one of two outputs behind the messages of the input."""
    asked = from_json_text(raw["input"], "column 'input'")
    if not isinstance(asked, dict):
        raise Malformed(f"column 'input' holds {kind_of(asked)}, where an object with messages was expected")
    context.tools = asked.get("tools")
    row = {
        "prompt": asked.get("messages"),
        "answer": from_json_text(raw["preferred_output"], "preferred_output"),
    }
    if is_missing(row["prompt"]):
        raise Malformed("column 'input' has no messages")
    return pair({**row, "system": raw.get("system")}, context, "prompt", "answer")


def has_preferred(raw: Raw) -> bool:
    """Return whether the input is an object, or the JSON text of one."""
    return isinstance(raw["input"], (dict, str))


def stepwise(raw: Raw, context: Context) -> Turns:
    """Return the steps that are right, joined as one answer; a wrong step is pushed away from."""
    steps, labels = (from_json_text(raw[name], f"column {name!r}") for name in ("completions", "labels"))
    if not isinstance(steps, list) or not isinstance(labels, list) or len(steps) != len(labels):
        raise Malformed("columns 'completions' and 'labels' are no arrays of one length")
    kept = [
        as_text(step, "column 'completions'")
        for step, label in zip(steps, labels, strict=True)
        if sign_of(label) is not False
    ]
    if len(kept) < len(steps):
        context.remark(
            "rows with steps that training pushes away from, since their `labels` are false, not scored"
        )
    if not kept:
        context.pushed_away = "labels"
    return pair({**raw, "completions": "\n".join(kept)}, context, "prompt", "completions")


def alternating(raw: Raw, context: Context) -> Turns:
    """Return texts that are the user's and the assistant's in turn."""
    messages = [
        Message("user" if i % 2 == 0 else "assistant", as_text(text, "column 'data'"))
        for i, text in enumerate(raw["data"])
    ]
    return with_system(raw, (messages, [message.role == "assistant" for message in messages]))


def squad(raw: Raw, context: Context) -> Turns:
    """Return the first of several answers to a question."""
    texts = raw["answers"]["text"]
    return pair({**raw, "answers": texts[0] if texts else ""}, context, "question", "answers")


def is_squad(raw: Raw) -> bool:
    """Return whether the answers are those of SQuAD, an object with a list of texts."""
    answers = raw["answers"]
    return isinstance(answers, dict) and isinstance(answers.get("text"), (list, tuple))


def pku_saferlhf(raw: Raw, context: Context) -> Turns:
    """Return the response that a PKU-SafeRLHF row prefers, where its two judgements agree."""
    chosen = [
        as_number(raw[key])
        for key in ("better_response_id", "safer_response_id")
        if not is_missing(raw.get(key))
    ]
    if len(set(chosen)) != 1 or chosen[0] not in (0.0, 1.0):
        raise Malformed(
            "the better of two responses is not the safer one: which one is learnt is for you to say",
            hint=columns_line(prompt="prompt", response="response_0"),
            fold="pku",
        )
    return pair(raw, context, "prompt", f"response_{int(chosen[0])}")


def shp(raw: Raw, context: Context) -> Turns:
    """Return the one of two answers that people preferred."""
    answer = "human_ref_A" if as_number(raw["labels"]) == 1.0 else "human_ref_B"
    return pair({"prompt": raw["history"], answer: raw.get(answer)}, context, "prompt", answer)


def column_of_conversation(raw: Raw) -> str | None:
    """Return the column that holds a conversation, None where none does."""
    return next((name for name in TRANSCRIPTS if not is_blank(raw.get(name))), None)


def conversation_column(raw: Raw, context: Context) -> Turns:
    """Return a conversation that is a list of messages or of pairs, or a transcript."""
    name = column_of_conversation(raw)
    assert name is not None  # the layout matched
    value, what = raw[name], f"column {name!r}"
    if isinstance(value, str) and not value.lstrip().startswith(("[", "{")):
        turns = parse_transcript(value, what, context)
        system = raw.get("system")
        if isinstance(system, str):
            raw = {**raw, "system": system.removeprefix("SYSTEM:").strip()}
    else:
        turns = parse_messages(value, what, context)
    return with_system(raw, turns)


def named_pair(raw: Raw) -> tuple[str, str] | None:
    """Return the columns of a row that are prompt and answer by their names, None where it has not both."""
    prompt = next((name for name in PROMPTS if not is_missing(raw.get(name))), None)
    answer = next((name for name in ANSWERS if not is_missing(raw.get(name)) and name != prompt), None)
    return (prompt, answer) if prompt and answer else None


def by_names(raw: Raw, context: Context) -> Turns:
    """Return prompt and answer by the names of their columns."""
    names = named_pair(raw)
    assert names is not None  # the layout matched
    return pair(raw, context, *names)


def plain_text(raw: Raw, context: Context) -> Turns:
    """Return text that is learnt as a whole."""
    return [Message("text", as_text(raw["text"], "column 'text'"))], [True]


def is_message(raw: Raw) -> bool:
    """Return whether a row is one turn of a conversation, which other rows go on with."""
    return isinstance(raw.get("role"), str) and any(isinstance(raw.get(k), str) for k in ("text", "content"))


def is_tree(raw: Raw) -> bool:
    """Return whether a row is a tree of messages."""
    return isinstance(raw["prompt"], dict) and "replies" in raw["prompt"]


def empty_pair(raw: Raw, context: Context) -> Turns:
    """Return prompt and answer of a row that holds nothing in them."""
    prompt = next(name for name in PROMPTS if name in raw)
    answer = next(name for name in ANSWERS if name in raw and name != prompt)
    return pair(raw, context, prompt, answer)
