"""Which schema a row has, and its conversation in that schema.

The first schema whose columns are there and not null is taken. The order settles rows that fit several: a
preference pair often brings its messages along, and Alpaca its templated text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqsd_lint.samples.columns import Columns, named_column
from sqsd_lint.samples.conversation import (
    Malformed,
    Turns,
    as_text,
    ask,
    exchange,
    is_missing,
    kind_of,
    parse_messages,
    quoted,
    whole_conversation,
    with_system,
)
from sqsd_lint.types import Message

Raw = Mapping[str, Any]

_PROMPTS = ("prompt", "instruction", "question", "input")
_ANSWERS = ("completion", "response", "output", "answer", "chosen")


class Schema(NamedTuple):
    """A way to write a row: its name, the columns that it cannot do without, and its reader."""

    name: str
    keys: tuple[str, ...]
    turns: Callable[[Raw], Turns]


def _messages(raw: Raw) -> Turns:
    return with_system(raw, parse_messages(raw["messages"], "column 'messages'"))


def _sharegpt(raw: Raw) -> Turns:
    return with_system(raw, parse_messages(raw["conversations"], "column 'conversations'"))


def _preference(raw: Raw) -> Turns:
    chosen = raw["chosen"]
    prompts = (*_PROMPTS, "conversations", "messages")
    name = next((name for name in prompts if not is_missing(raw.get(name))), "")
    # A list that does not begin with an answer is the whole conversation: its prompt is in it.
    whole = (
        isinstance(chosen, list) and chosen and parse_messages(chosen[:1], "column 'chosen'")[1] == [False]
    )
    if not name or (whole and not isinstance(raw[name], list)):
        turns = whole_conversation(chosen, raw.get("rejected"))
    else:
        turns = exchange(raw[name], chosen, name, "chosen")
    return with_system(raw, turns)


def _prompt_completion(raw: Raw) -> Turns:
    return with_system(raw, exchange(raw["prompt"], raw["completion"], "prompt", "completion"))


def _instruction(answer: str) -> Callable[[Raw], Turns]:
    def turns(raw: Raw) -> Turns:
        # Alpaca says input, Dolly context: a row that has both means both.
        contexts = [as_text(raw.get(name), f"column {name!r}") for name in ("input", "context")]
        question = ask(as_text(raw["instruction"], "column 'instruction'"), contexts)
        text = as_text(raw[answer], f"column {answer!r}")
        messages = [Message("user", question), Message("assistant", text)]
        mask = [False, True]
        if raw.get("history"):
            before, trained = _history(raw["history"])
            messages, mask = before + messages, trained + mask
        return with_system(raw, (messages, mask))

    return turns


def _history(history: Any) -> Turns:
    """Earlier rounds of an Alpaca row, pairs of prompt and answer; trainers learn their answers, too."""
    messages: list[Message] = []
    for pair in history if isinstance(history, list) else [history]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise Malformed("column 'history' is no array of [prompt, answer] pairs")
        messages.append(Message("user", as_text(pair[0], "column 'history'")))
        messages.append(Message("assistant", as_text(pair[1], "column 'history'")))
    return messages, [message.role == "assistant" for message in messages]


def _question_answer(prompt: str, answer: str) -> Callable[[Raw], Turns]:
    def turns(raw: Raw) -> Turns:
        messages = [
            Message("user", as_text(raw[prompt], f"column {prompt!r}")),
            Message("assistant", as_text(raw[answer], f"column {answer!r}")),
        ]
        return with_system(raw, (messages, [False, True]))

    return turns


def _text(raw: Raw) -> Turns:
    return [Message("text", as_text(raw["text"], "column 'text'"))], [True]


SCHEMAS: tuple[Schema, ...] = (
    Schema("preference", ("chosen",), _preference),
    Schema("messages", ("messages",), _messages),
    Schema("sharegpt", ("conversations",), _sharegpt),
    Schema("alpaca", ("instruction", "output"), _instruction("output")),
    Schema("dolly", ("instruction", "response"), _instruction("response")),
    Schema("prompt-completion", ("prompt", "completion"), _prompt_completion),
    Schema("prompt-response", ("prompt", "response"), _question_answer("prompt", "response")),
    Schema("question-answer", ("question", "answer"), _question_answer("question", "answer")),
    Schema("text", ("text",), _text),
)


def detect(raw: Raw) -> Schema:
    """The schema of a row.

    Raises:
        Malformed: none fits.
    """
    get = raw.get
    for schema in SCHEMAS:
        for key in schema.keys:
            if is_missing(get(key)):
                break
        else:
            return schema
    # Nothing to learn in any of them: the first one present says best what is empty.
    for schema in SCHEMAS:
        if all(key in raw for key in schema.keys):
            return schema
    raise Malformed(
        f"no known schema; columns found: {quoted(raw)}; "
        f"schemas known: {', '.join(' + '.join(schema.keys) for schema in SCHEMAS)}",
        hint='name the columns in the configuration: [columns] prompt = "...", response = "..."',
    )


def by_columns(raw: Raw, columns: Columns) -> tuple[str, Turns]:
    """The schema's name and the conversation, with the columns that the user named.

    Raises:
        Malformed: a named column is missing, or holds what it cannot.
    """
    if columns.system:
        raw = {**raw, "system": named_column(raw, columns.system, "system")}
    if columns.text:
        value = named_column(raw, columns.text, "text")
        return "columns", ([Message("text", as_text(value, f"column {columns.text!r}"))], [True])
    if columns.messages:
        value = named_column(raw, columns.messages, "messages")
        return "columns", with_system(raw, parse_messages(value, f"column {columns.messages!r}"))
    if not columns.prompt and not columns.response:
        if columns.context:
            value = named_column(raw, columns.context, "context")
            raw = {**{key: raw[key] for key in raw if key != "input"}, "context": value}
        schema = detect(raw)
        return schema.name, schema.turns(raw)
    prompt_name = columns.prompt or _usual(raw, _PROMPTS, "prompt")
    answer_name = columns.response or _usual(raw, _ANSWERS, "response")
    prompt = named_column(raw, prompt_name, "prompt")
    answer = named_column(raw, answer_name, "response")
    if columns.context:
        value = named_column(raw, columns.context, "context")
        if isinstance(prompt, (list, dict)):
            raise Malformed(
                f"column {prompt_name!r} holds {kind_of(prompt)}: a context needs a prompt of text"
            )
        context = as_text(value, f"column {columns.context!r}")
        prompt = ask(as_text(prompt, f"column {prompt_name!r}"), [context])
    return "columns", with_system(raw, exchange(prompt, answer, prompt_name, answer_name))


def _usual(raw: Raw, names: tuple[str, ...], part: str) -> str:
    for name in names:
        if name in raw:
            return name
    raise Malformed(
        f"[columns] names no {part}, and the row has none of {', '.join(names)};"
        f" columns found: {quoted(raw)}",
        hint=f"set {part} under [columns]",
    )
