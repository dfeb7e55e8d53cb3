"""The table of layouts: how fine-tuning rows are written, and how each becomes a conversation.

The first layout is taken whose columns are there and not null. The order settles rows that fit several: a
preference pair often brings its messages along, and Alpaca its templated text. `docs/layouts.md` is made of
this table by `python docs/layouts.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqsd_lint.samples.columns import Columns
from sqsd_lint.samples.context import Context
from sqsd_lint.samples.conversation import ANSWERS, PROMPTS, Turns, parse_messages, parse_transcript
from sqsd_lint.samples.readers import (
    CONTEXTS,
    SYSTEMS,
    Raw,
    alternating,
    by_names,
    column_of_conversation,
    conversation_column,
    empty_pair,
    has_preferred,
    is_message,
    is_squad,
    is_tree,
    messages_in,
    named_pair,
    openai_preference,
    pair,
    pair_of,
    pku_saferlhf,
    plain_text,
    preference,
    shp,
    squad,
    stepwise,
    with_system,
)
from sqsd_lint.samples.suggestion import suggest
from sqsd_lint.samples.training_flags import SIGNS
from sqsd_lint.samples.values import Malformed, as_text, is_missing, quoted
from sqsd_lint.types import Message


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


_FLATTEN = "write one row for each path from the first message to a last answer, as messages"

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "message-tree",
        ("prompt",),
        "OpenAssistant, trees",
        fits=is_tree,
        why="a tree of messages, of which every path is a conversation",
        mend=_FLATTEN,
    ),
    Layout(
        "message-rows",
        ("role",),
        "OpenAssistant, messages",
        fits=is_message,
        why="one message of a conversation that is spread over several rows",
        mend=_FLATTEN,
    ),
    Layout(
        "preference",
        ("chosen",),
        "TRL, UltraFeedback, HH-RLHF, LLaMA-Factory; the chosen answer is learnt",
        preference,
        fits=lambda raw: not isinstance(raw["chosen"], bool),
        signed=False,
    ),
    Layout(
        "openai-preference",
        ("input", "preferred_output"),
        "OpenAI direct preference optimisation; the preferred answer is learnt",
        openai_preference,
        fits=has_preferred,
        signed=False,
    ),
    Layout("messages", ("messages",), "OpenAI, TRL, ms-swift, Tulu, SmolTalk", messages_in("messages")),
    Layout(
        "sharegpt",
        ("conversations",),
        "ShareGPT, OpenHermes, SlimOrca, Magpie, axolotl",
        messages_in("conversations"),
    ),
    Layout("alpaca", ("instruction", "output"), "Alpaca, LLaMA-Factory", pair_of("instruction", "output")),
    Layout("dolly", ("instruction", "response"), "Dolly", pair_of("instruction", "response")),
    Layout("prompt-completion", ("prompt", "completion"), "TRL, KTO", pair_of("prompt", "completion")),
    Layout(
        "prompt-response",
        ("prompt", "response"),
        "GPT4All, HelpSteer",
        pair_of("prompt", "response"),
    ),
    Layout(
        "question-answer",
        ("question", "answer"),
        "GSM8K, Orca-Math",
        pair_of("question", "answer"),
    ),
    Layout("text", ("text",), "pre-rendered text, learnt whole; Guanaco", plain_text, signed=False),
    Layout(
        "stepwise",
        ("prompt", "completions", "labels"),
        "TRL stepwise supervision; the steps labelled true are learnt",
        stepwise,
        signed=False,
    ),
    Layout(
        "pku-saferlhf",
        ("prompt", "response_0", "response_1", "better_response_id"),
        "PKU-SafeRLHF, where the better response is the safer one",
        pku_saferlhf,
        signed=False,
    ),
    Layout(
        "shp",
        ("history", "human_ref_A", "human_ref_B", "labels"),
        "Stanford Human Preferences; the preferred answer is learnt",
        shp,
        signed=False,
    ),
    Layout("squad", ("question", "answers"), "SQuAD; the first answer is learnt", squad, fits=is_squad),
    Layout(
        "conversation",
        (),
        "Capybara, WildChat, LMSYS, xtuner, Glaive: messages, pairs, or a transcript",
        conversation_column,
        fits=lambda raw: column_of_conversation(raw) is not None,
    ),
    Layout(
        "ultrachat",
        ("data",),
        "UltraChat: texts of user and assistant in turn",
        alternating,
        fits=lambda raw: isinstance(raw["data"], list) and all(isinstance(each, str) for each in raw["data"]),
    ),
    Layout(
        "pair",
        (),
        "OpenOrca, MetaMathQA, Aya, NuminaMath, s1K, Llama-Nemotron: a prompt and an answer by name",
        by_names,
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

_BESIDE = frozenset((*SYSTEMS, *CONTEXTS, *SIGNS, "history", "tools"))

TEXT = next(layout for layout in LAYOUTS if layout.name == "text")


def detect(raw: Raw) -> tuple[Layout, Raw]:
    """Return the layout of a row, and the row with the columns' names as that layout has them.

    Raises:
        Malformed: none fits.
    """
    for layout in LAYOUTS:
        if layout.matches(raw):
            return layout, _with_beside(raw)
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
        return _EMPTY_PAIR, raw
    raise unknown(raw)


def _with_beside(raw: Raw) -> Raw:
    """Return a row with what stands beside prompt and answer under its usual names: `System` is `system`."""
    plain = _plain_names(raw)
    if plain is None:
        return raw
    named = {name: value for name, value in plain.items() if name in _BESIDE and name not in raw}
    return {**raw, **named} if named else raw


def _plain_names(raw: Raw) -> Raw | None:
    """Return a row with its columns' names in lower case; None where they are already."""
    names: dict[str, Any] = {}
    changed = False
    for key, value in raw.items():
        name = str(key)[:80].strip().lower().replace(" ", "_").replace("-", "_")
        changed = changed or name != key
        names.setdefault(name, value)
    return names if changed else None


_EMPTY_PAIR = Layout("pair", (), "", empty_pair)


def unknown(raw: Raw) -> Malformed:
    """Return what is said of a row of no known layout, with the one line that mends it."""
    return Malformed(
        f"no known layout; columns found: {quoted(raw)}",
        hint=f"name the columns in the configuration, for example {suggest(raw)};"
        " docs/layouts.md lists what is known without",
        fold="layout",
    )


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
    """Return the row with the parts beside prompt and answer under their usual names, and no others there."""
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
