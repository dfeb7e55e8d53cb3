"""The table of layouts: how fine-tuning rows are written, and how each becomes a conversation.

The first layout is taken whose columns are there and not null. The order settles rows that fit several: a
preference pair often brings its messages along, and Alpaca its templated text. `docs/layouts.md` is made of
this table by `python docs/layouts.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqsd_lint.samples.columns import Columns
from sqsd_lint.samples.context import Context
from sqsd_lint.samples.conversation import (
    ANSWERS,
    PROMPTS,
    Turns,
    parse_messages,
    parse_transcript,
    whole_conversation,
)
from sqsd_lint.samples.roles import toml_text
from sqsd_lint.samples.values import (
    Malformed,
    as_number,
    as_text,
    from_json_text,
    is_blank,
    is_missing,
    kind_of,
    quoted,
)
from sqsd_lint.types import Message

Raw = Mapping[str, Any]

SYSTEMS = ("system", "system_prompt", "system_message")
CONTEXTS = ("input", "context")
TRANSCRIPTS = ("conversation", "dialog", "dialogue", "chat", "turns", "dialogs", "messages_list", "contents")
"""Columns of a conversation besides `messages` and `conversations`."""

# What may be an answer, or a part of one, and is learnt by nobody who does not say so.
_THOUGHT_COLUMNS = (
    *(
        "cot",
        "complex_cot",
        "chain_of_thought",
        "reasoning",
        "reasoning_content",
        "reasoning_trace",
        "thinking",
    ),
    *(
        "thinking_trajectory",
        "thinking_trajectories",
        "thought",
        "thoughts",
        "rationale",
        "analysis",
        "scratchpad",
    ),
)
MEDIA = ("image", "images", "audio", "audios", "video", "videos", "pixel_values", "input_audio")
"""Columns that no text stands in."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A way to write a row.

    Attributes:
        name: as `Sample.schema` has it.
        keys: the columns that it cannot do without.
        used_by: data sets and trainers that write or read it.
        read: its reader; None for a layout that is known and refused.
        fits: what else a row must hold.
        signed: whether a false `label` or `kto_tag` beside it turns it round.
        why, mend: of a refused layout: what it is, and what to do.
    """

    name: str
    keys: tuple[str, ...]
    used_by: str
    read: Callable[[Raw, Context], Turns] | None = None
    fits: Callable[[Raw], bool] | None = None
    signed: bool = True
    why: str = ""
    mend: str = ""

    def matches(self, raw: Raw) -> bool:
        """Return whether a row has this layout."""
        get = raw.get
        for key in self.keys:
            if is_missing(get(key)):
                return False
        return self.fits is None or self.fits(raw)


# ---- readers ------------------------------------------------------------------------------------------


def ask(question: str, contexts: list[str], separator: str) -> str:
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
    """The contexts behind what the user has asked last."""
    at = next((i for i in reversed(range(len(asked))) if asked[i].role == "user"), None)
    if at is None:
        return [*asked, Message("user", ask("", contexts, context.separator))]
    last = asked[at]
    text = ask(last.content, contexts, context.separator)
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


def _pair_of(prompt: str, answer: str) -> Callable[[Raw, Context], Turns]:
    return lambda raw, context: pair(raw, context, prompt, answer)


def _messages_in(column: str) -> Callable[[Raw, Context], Turns]:
    return lambda raw, context: with_system(raw, parse_messages(raw[column], f"column {column!r}", context))


def _preference(raw: Raw, context: Context) -> Turns:
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


def _openai_preference(raw: Raw, context: Context) -> Turns:
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


def _has_preferred(raw: Raw) -> bool:
    return isinstance(raw["input"], (dict, str))


def _stepwise(raw: Raw, context: Context) -> Turns:
    """The steps that are right, joined as one answer; a wrong step is pushed away from."""
    from sqsd_lint.samples.training_flags import sign_of

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


def _alternating(raw: Raw, context: Context) -> Turns:
    messages = [
        Message("user" if i % 2 == 0 else "assistant", as_text(text, "column 'data'"))
        for i, text in enumerate(raw["data"])
    ]
    return with_system(raw, (messages, [message.role == "assistant" for message in messages]))


def _squad(raw: Raw, context: Context) -> Turns:
    texts = raw["answers"]["text"]
    return pair({**raw, "answers": texts[0] if texts else ""}, context, "question", "answers")


def _is_squad(raw: Raw) -> bool:
    answers = raw["answers"]
    return isinstance(answers, dict) and isinstance(answers.get("text"), (list, tuple))


def _pku(raw: Raw, context: Context) -> Turns:
    """The response that a PKU-SafeRLHF row prefers, where its two judgements agree."""
    chosen = [
        as_number(raw[key])
        for key in ("better_response_id", "safer_response_id")
        if not is_missing(raw.get(key))
    ]
    if len(set(chosen)) != 1 or chosen[0] not in (0.0, 1.0):
        raise Malformed(
            "the better of two responses is not the safer one: which one is learnt is for you to say",
            hint=_mend(prompt="prompt", response="response_0"),
            fold="pku",
        )
    return pair(raw, context, "prompt", f"response_{int(chosen[0])}")


def _shp(raw: Raw, context: Context) -> Turns:
    answer = "human_ref_A" if as_number(raw["labels"]) == 1.0 else "human_ref_B"
    return pair({"prompt": raw["history"], answer: raw.get(answer)}, context, "prompt", answer)


def _column_of_conversation(raw: Raw) -> str | None:
    return next((name for name in TRANSCRIPTS if not is_blank(raw.get(name))), None)


def _conversation(raw: Raw, context: Context) -> Turns:
    name = _column_of_conversation(raw)
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


def _by_names(raw: Raw, context: Context) -> Turns:
    names = named_pair(raw)
    assert names is not None  # the layout matched
    return pair(raw, context, *names)


def _text(raw: Raw, context: Context) -> Turns:
    return [Message("text", as_text(raw["text"], "column 'text'"))], [True]


def _is_message(raw: Raw) -> bool:
    """Whether a row is one turn of a conversation, which other rows go on with."""
    return isinstance(raw.get("role"), str) and any(isinstance(raw.get(k), str) for k in ("text", "content"))


def _is_tree(raw: Raw) -> bool:
    return isinstance(raw["prompt"], dict) and "replies" in raw["prompt"]


_FLATTEN = "write one row for each path from the first message to a last answer, as messages"

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "message-tree",
        ("prompt",),
        "OpenAssistant, trees",
        fits=_is_tree,
        why="a tree of messages, of which every path is a conversation",
        mend=_FLATTEN,
    ),
    Layout(
        "message-rows",
        ("role",),
        "OpenAssistant, messages",
        fits=_is_message,
        why="one message of a conversation that is spread over several rows",
        mend=_FLATTEN,
    ),
    Layout(
        "preference",
        ("chosen",),
        "TRL, UltraFeedback, HH-RLHF, LLaMA-Factory; the chosen answer is learnt",
        _preference,
        fits=lambda raw: not isinstance(raw["chosen"], bool),
        signed=False,
    ),
    Layout(
        "openai-preference",
        ("input", "preferred_output"),
        "OpenAI direct preference optimisation; the preferred answer is learnt",
        _openai_preference,
        fits=_has_preferred,
        signed=False,
    ),
    Layout("messages", ("messages",), "OpenAI, TRL, ms-swift, Tulu, SmolTalk", _messages_in("messages")),
    Layout(
        "sharegpt",
        ("conversations",),
        "ShareGPT, OpenHermes, SlimOrca, Magpie, axolotl",
        _messages_in("conversations"),
    ),
    Layout("alpaca", ("instruction", "output"), "Alpaca, LLaMA-Factory", _pair_of("instruction", "output")),
    Layout("dolly", ("instruction", "response"), "Dolly", _pair_of("instruction", "response")),
    Layout("prompt-completion", ("prompt", "completion"), "TRL, KTO", _pair_of("prompt", "completion")),
    Layout(
        "prompt-response",
        ("prompt", "response"),
        "GPT4All, HelpSteer",
        _pair_of("prompt", "response"),
    ),
    Layout(
        "question-answer",
        ("question", "answer"),
        "GSM8K, Orca-Math",
        _pair_of("question", "answer"),
    ),
    Layout("text", ("text",), "pre-rendered text, learnt whole; Guanaco", _text, signed=False),
    Layout(
        "stepwise",
        ("prompt", "completions", "labels"),
        "TRL stepwise supervision; the steps labelled true are learnt",
        _stepwise,
        signed=False,
    ),
    Layout(
        "pku-saferlhf",
        ("prompt", "response_0", "response_1", "better_response_id"),
        "PKU-SafeRLHF, where the better response is the safer one",
        _pku,
        signed=False,
    ),
    Layout(
        "shp",
        ("history", "human_ref_A", "human_ref_B", "labels"),
        "Stanford Human Preferences; the preferred answer is learnt",
        _shp,
        signed=False,
    ),
    Layout("squad", ("question", "answers"), "SQuAD; the first answer is learnt", _squad, fits=_is_squad),
    Layout(
        "conversation",
        (),
        "Capybara, WildChat, LMSYS, xtuner, Glaive: messages, pairs, or a transcript",
        _conversation,
        fits=lambda raw: _column_of_conversation(raw) is not None,
    ),
    Layout(
        "ultrachat",
        ("data",),
        "UltraChat: texts of user and assistant in turn",
        _alternating,
        fits=lambda raw: isinstance(raw["data"], list) and all(isinstance(each, str) for each in raw["data"]),
    ),
    Layout(
        "pair",
        (),
        "OpenOrca, MetaMathQA, Aya, NuminaMath, s1K, Llama-Nemotron: a prompt and an answer by name",
        _by_names,
        fits=lambda raw: named_pair(raw) is not None,
    ),
    Layout(
        "arena",
        ("conversation_a", "conversation_b"),
        "Chatbot Arena",
        why="two conversations, of which the winner is learnt",
        mend="write the winner's as `messages`, or name one: " + 'columns = { messages = "conversation_a" }',
    ),
    Layout(
        "many-completions",
        ("completions",),
        "UltraFeedback (original), Nectar",
        why="several completions of one prompt, of which nobody says which is learnt",
        mend="choose one first: write it as `completion`, or two as `chosen` and `rejected`",
    ),
    Layout(
        "chat-export",
        ("mapping", "current_node"),
        "ChatGPT exports",
        fits=lambda raw: isinstance(raw["mapping"], dict),
        why="a tree of messages, of which every path is a conversation",
        mend=_FLATTEN,
    ),
)
"""Every layout that is known, in the order in which they are tried."""

TEXT = next(layout for layout in LAYOUTS if layout.name == "text")


def detect(raw: Raw) -> tuple[Layout, Raw]:
    """Return the layout of a row, and the row with the columns' names as that layout has them.

    Raises:
        Malformed: none fits.
    """
    for layout in LAYOUTS:
        if layout.matches(raw):
            return layout, raw
    plain = _plain_names(raw)
    if plain is not None:
        for layout in LAYOUTS:
            if layout.matches(plain):
                return layout, plain
    # Nothing to learn in any of them: the first one present says best what is empty.
    for layout in LAYOUTS:
        if layout.read and layout.keys and not layout.fits and all(key in raw for key in layout.keys):
            return layout, raw
    if any(name in raw for name in PROMPTS) and any(name in raw for name in ANSWERS):
        return LAYOUT_OF_NAMES, raw
    raise unknown(raw)


def _plain_names(raw: Raw) -> Raw | None:
    """A row with its columns' names in lower case; None where they are already."""
    names: dict[str, Any] = {}
    changed = False
    for key, value in raw.items():
        name = str(key)[:80].strip().lower().replace(" ", "_").replace("-", "_")
        changed = changed or name != key
        names.setdefault(name, value)
    return names if changed else None


def _empty_pair(raw: Raw, context: Context) -> Turns:
    prompt = next(name for name in PROMPTS if name in raw)
    answer = next(name for name in ANSWERS if name in raw and name != prompt)
    return pair(raw, context, prompt, answer)


LAYOUT_OF_NAMES = Layout("pair", (), "", _empty_pair)


def unknown(raw: Raw) -> Malformed:
    """Return what is said of a row of no known layout, with the one line that mends it."""
    return Malformed(
        f"no known layout; columns found: {quoted(raw)}",
        hint=f"name the columns in the configuration, for example {suggest(raw)};"
        " docs/layouts.md lists what is known without",
        fold="layout",
    )


def suggest(raw: Raw) -> str:
    """Return the line of configuration that is most likely meant for a row: `columns = { ... }`."""
    texts = [
        key
        for key, value in list(raw.items())[:100]
        if isinstance(value, str) and value.strip() and len(key) <= 40
    ]
    chats = [
        key
        for key, value in list(raw.items())[:100]
        if isinstance(value, list) and value and isinstance(value[0], dict) and len(key) <= 40
    ]
    if chats:
        return _mend(messages=chats[0])
    answer = next((key for key in texts if key.lower() in ANSWERS), None)
    prompt = next((key for key in texts if key.lower() in PROMPTS and key != answer), None)
    if answer is None and prompt is None and len(texts) == 1:
        return _mend(text=texts[0])
    long = sorted(texts, key=lambda key: -len(raw[key]))[:2]
    rest = [key for key in texts if key in long and key not in (prompt, answer)]
    prompt = prompt or (rest.pop(0) if rest else "...")
    answer = answer or (rest.pop(-1) if rest else "...")
    return _mend(prompt=prompt, response=answer)


def _mend(**parts: str) -> str:
    return f"columns = {{ {', '.join(f'{part} = {toml_text(name)}' for part, name in parts.items())} }}"


# ---- columns that the user names ----------------------------------------------------------------------


def by_columns(raw: Raw, columns: Columns, context: Context) -> tuple[Layout, Turns, Raw]:
    """Return the layout and the conversation of a row, with the columns that the user named.

    The parts that the mapping does not name are looked for under their usual names.

    Raises:
        Malformed: a named column holds what it cannot.
    """
    raw = _renamed(raw, columns)
    if columns.text:
        turns: Turns = [Message("text", as_text(raw[columns.text], f"column {columns.text!r}"))], [True]
        return _MAPPED_TEXT, turns, raw
    if columns.messages:
        value, what = raw[columns.messages], f"column {columns.messages!r}"
        if isinstance(value, str) and not value.lstrip().startswith(("[", "{")):
            turns = parse_transcript(value, what, context)
        else:
            turns = parse_messages(value, what, context)
        return _MAPPED, with_system(raw, turns), raw
    if not columns.prompt and not columns.response:
        layout, raw = detect(raw)
        return layout, read(layout, raw, context), raw
    prompt = columns.prompt or _usual(raw, PROMPTS, "prompt", columns.response)
    answer = columns.response or _usual(raw, ANSWERS, "response", columns.prompt)
    return _MAPPED, pair(raw, context, prompt, answer), raw


_MAPPED = Layout("columns", (), "")
_MAPPED_TEXT = Layout("columns", (), "", signed=False)


def _renamed(raw: Raw, columns: Columns) -> Raw:
    """The row with the parts beside prompt and answer under their usual names, and no others there."""
    row = dict(raw)
    for part, usual in (("system", SYSTEMS), ("context", CONTEXTS), ("history", ("history",))):
        name = getattr(columns, part)
        if name is None:
            continue
        value = raw.get(name)
        for each in usual:
            if each not in (columns.prompt, columns.response, columns.messages):
                row.pop(each, None)
        if name:
            row[part] = value
    return row


def _usual(raw: Raw, names: tuple[str, ...], part: str, other: str | None) -> str:
    for name in names:
        if name in raw and name != other:
            return name
    raise Malformed(
        f"[columns] names no {part}, and the row has none of {', '.join(names)};"
        f" columns found: {quoted(raw)}",
        hint=f"set {part} under [columns]",
        fold="layout",
    )


def read(layout: Layout, raw: Raw, context: Context) -> Turns:
    """Return the conversation of a row of that layout.

    Raises:
        Malformed: the layout is a refused one, or a column holds what it cannot.
    """
    if layout.read is None:
        raise Malformed(f"{layout.why} ({layout.name})", hint=layout.mend, fold=layout.name)
    return layout.read(raw, context)


def unread(raw: Raw, turns: Turns) -> list[str]:
    """Return the columns that look like a prompt, an answer or a thought, or hold media, and are not read."""
    found = [name for name in MEDIA if not is_blank(raw.get(name))]
    suspects = raw.keys() & _SUSPECTS
    for name in sorted(suspects):
        value = raw[name]
        texts = value if isinstance(value, list) else [value]
        words = [text for text in texts if isinstance(text, str) and text.strip()]
        if words and not all(any(text.strip() in heard for heard in _texts_of(turns)) for text in words):
            found.append(name)
    return found


# Columns of these names hold metadata more often than text.
_METADATA = ("target", "targets", "user", "bot")
_SUSPECTS = frozenset((*PROMPTS, *ANSWERS, *_THOUGHT_COLUMNS, *CONTEXTS)) - {*_METADATA}


def _texts_of(turns: Turns) -> list[str]:
    texts = []
    for message in turns[0]:
        texts.append(message.content)
        texts += [value for value in message.extra.values() if isinstance(value, str)]
    return texts
