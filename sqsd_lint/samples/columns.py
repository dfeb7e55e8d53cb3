"""Columns and roles named by the user, where the layouts and names found by themselves do not fit."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqsd_lint.errors import ConfigError, UsageError
from sqsd_lint.samples.roles import check_roles
from sqsd_lint.samples.values import Malformed, quoted

_MAIN = ("messages", "text", "prompt", "response")
_HINT = 'set one of messages, text or response, for example prompt = "question" and response = "reply"'


@dataclass(frozen=True, slots=True)
class Columns:
    """A mapping of the configuration's `[columns]`: which column of the data plays which part.

    Attributes:
        messages: a conversation, as `messages` or ShareGPT's `conversations` have it.
        text: plain text that is trained on as a whole.
        prompt, response: what is asked and what is learnt; text or messages. When only one of them is named,
            the other is looked for under its usual names.
        context: put behind the prompt.
        system: the system prompt.
        history: earlier rounds.
        label: the sign, false where training pushes away from the answer.

    The last four are "" for "the row has no such column, whatever its columns are called".

    Raises:
        ConfigError: more than one of messages, text and response is named.
    """

    messages: str | None = None
    prompt: str | None = None
    context: str | None = None
    response: str | None = None
    system: str | None = None
    text: str | None = None
    history: str | None = None
    label: str | None = None

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
        """Return the columns of a configuration table.

        Raises:
            ConfigError: a key that is not one of the attributes.
        """
        known = [each.name for each in dataclasses.fields(cls)]
        for name in names:
            if name not in known:
                hint = (
                    f"did you mean {near}?"
                    if (near := _nearest(name, known))
                    else f"known are {', '.join(known)}"
                )
                raise ConfigError(f"[columns] has the unknown key {name!r}", hint=hint)
        return cls(**names)

    @property
    def named(self) -> dict[str, str]:
        """The columns that the mapping names, by the parts that they play."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return {part: name for part, name in values.items() if name}

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns without which it does not fit a row: prompt and what is learnt, else all of them."""
        main = [getattr(self, part) for part in _MAIN if getattr(self, part)]
        return tuple(main or self.named.values())

    def fits(self, raw: Mapping[str, Any]) -> bool:
        """Return whether the mapping is one for this row."""
        return all(name in raw for name in self.needed)

    def missing(self, raw: Mapping[str, Any]) -> Malformed:
        """Return what is wrong with a row of no known layout that the mapping does not fit either."""
        part, name = next((part, name) for part, name in self.named.items() if name not in raw)
        near = _nearest(name, list(raw))
        return Malformed(
            f"no column {name!r}, which [columns] names as {part}, and no known layout;"
            f" columns found: {quoted(raw)}",
            hint=f"did you mean {near!r}? set {part} under [columns]"
            if near
            else f"set {part} under [columns]",
            fold="layout",
        )


@dataclass(frozen=True)
class Reading:
    """How rows are read: the `[columns]` and `[roles]` of a configuration.

    A mapping holds for the rows that have all of its columns; every other row is read by its layout.

    Attributes:
        mappings: a pattern as in .gitignore, relative to the working folder, and what holds for the files
            that it fits; "" for every file. Those with a pattern come first.
        roles: role names, and the roles of chat templates that they stand for.
        separator: what joins an instruction and its context; the paper's authors use a line break.
    """

    mappings: tuple[tuple[str, Columns], ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    separator: str = "\n\n"

    @classmethod
    def from_tables(
        cls,
        columns: Mapping[str, Any] | None = None,
        roles: Mapping[str, str] | None = None,
        separator: str = "\n\n",
    ) -> Reading:
        """Return what the tables of a configuration say.

        Args:
            columns: `[columns]`: parts and their columns; a value that is a table is a mapping for the files
                that fit its key: `[columns."legacy/*.csv"]`.
            roles: `[roles]`.

        Raises:
            ConfigError: an unknown part or role, or a pattern that means nothing.
        """
        columns = columns or {}
        tables = {key: value for key, value in columns.items() if isinstance(value, Mapping)}
        everywhere = {key: value for key, value in columns.items() if key not in tables}
        mappings = [(_checked(pattern), Columns.from_mapping(table)) for pattern, table in tables.items()]
        if everywhere:
            mappings.append(("", Columns.from_mapping(everywhere)))
        return cls(tuple(mappings), check_roles(roles or {}), separator)

    @classmethod
    def by(cls, columns: Columns | None) -> Reading:
        """Return a reading with one mapping for every file."""
        return cls((("", columns),)) if columns is not None else cls()

    def columns_for(self, file: str) -> tuple[Columns, ...]:
        """Return the mappings that hold for a file, as `Where` names it."""
        if not self.mappings:
            return ()
        if file not in self._seen:
            path = os.path.abspath(file)
            self._seen[file] = tuple(
                columns for pattern, columns in self.mappings if not pattern or _matches(pattern, path)
            )
        return self._seen[file]

    def mapping_of(self, file: str, raw: Mapping[str, Any]) -> Columns | None:
        """Return the first mapping for a file that fits a row."""
        for columns in self.columns_for(file):
            if columns.fits(raw):
                self._found.update(name for name in columns.named.values() if name in raw)
                return columns
        return None

    def unused(self) -> list[str]:
        """Return what `[columns]` names and no row had that was read so far, in words."""
        return [
            f"[columns] names {name[:40]!r} as {part}, which no row has"
            for _, columns in self.mappings
            for part, name in columns.named.items()
            if name not in self._found
        ]

    _found: set[str] = field(init=False, repr=False, compare=False, default_factory=set)
    _seen: dict[str, tuple[Columns, ...]] = field(init=False, repr=False, compare=False, default_factory=dict)


def _checked(pattern: str) -> str:
    try:
        _matches(pattern, os.path.abspath("x"))
    except UsageError as error:
        raise ConfigError(
            f"[columns] has the pattern {pattern!a}, which means nothing", hint="write it as in .gitignore"
        ) from error
    return pattern


def _matches(pattern: str, path: str) -> bool:
    from sqsd_lint.discover.ignore import Exclude

    return Exclude([pattern]).matches(path)


def _nearest(name: str, names: list[str]) -> str:
    from difflib import get_close_matches

    # Long hostile names would make the comparison slow.
    return next(iter(get_close_matches(name, [n for n in names[:100] if len(n) <= 80], n=1)), "")
