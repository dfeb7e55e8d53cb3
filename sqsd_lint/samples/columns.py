"""Columns named by the user, where the schemas found by themselves do not fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqsd_lint.errors import ConfigError
from sqsd_lint.samples.conversation import Malformed, quoted

_HINT = 'set one of messages, text or response, for example prompt = "question" and response = "reply"'


@dataclass(frozen=True, slots=True)
class Columns:
    """The `[columns]` table of the configuration: which column of the data plays which part.

    Attributes:
        messages: a conversation, as `messages` or ShareGPT's `conversations` have it.
        text: plain text that is trained on as a whole.
        prompt, response: what is asked and what is learnt; text or messages. When only one of them is named,
            the other is looked for under its usual names.
        context: put behind the prompt after a blank line.
        system: the system prompt.

    Raises:
        ConfigError: more than one of messages, text and response is named.
    """

    messages: str | None = None
    prompt: str | None = None
    context: str | None = None
    response: str | None = None
    system: str | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        learnt = [name for name in ("messages", "text", "response") if getattr(self, name)]
        if len(learnt) > 1:
            raise ConfigError(
                f"[columns] names {' and '.join(learnt)}: only one of them can be learnt", hint=_HINT
            )
        if learnt in (["messages"], ["text"]) and (self.prompt or self.context):
            raise ConfigError(f"[columns] names prompt or context beside {learnt[0]}", hint=_HINT)
        if learnt == ["text"] and self.system:
            raise ConfigError("[columns] names system beside text, which has no system prompt", hint=_HINT)

    @classmethod
    def from_mapping(cls, names: Mapping[str, str]) -> Columns:
        """Columns out of a configuration table.

        Raises:
            ConfigError: a key that is not one of the attributes.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in names:
            if name not in known:
                hint = (
                    f"did you mean {near}?"
                    if (near := _nearest(name, known))
                    else f"known are {', '.join(known)}"
                )
                raise ConfigError(f"[columns] has the unknown key {name!r}", hint=hint)
        return cls(**names)


def named_column(raw: Mapping[str, Any], name: str, part: str) -> Any:
    """The value of a column that the configuration names.

    Raises:
        Malformed: the row has no such column.
    """
    if name in raw:
        return raw[name]
    near = _nearest(name, list(raw))
    raise Malformed(
        f"no column {name!r}, which [columns] names as {part}; columns found: {quoted(raw)}",
        hint=f"did you mean {near!r}? set {part} under [columns]" if near else f"set {part} under [columns]",
    )


def _nearest(name: str, names: list[str]) -> str:
    from difflib import get_close_matches

    # Long hostile names would make the comparison slow.
    return next(iter(get_close_matches(name, [n for n in names[:100] if len(n) <= 80], n=1)), "")
