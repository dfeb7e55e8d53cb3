"""What a setting is, and the table of the settings that a class declares: `Settings`, or one of a test.

A setting is one field of a frozen dataclass: its annotation is its type, `setting(default, ...)` the rest.
The options of the commands, the environment variables, the keys of a configuration file, the published JSON
Schema, `sqsd-lint config show` and `docs/settings.md` all derive from it.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

PREFIX = "SQSD_LINT_"
_METADATA = "setting"

Paths = Literal["never", "always", "maybe"]
Words = tuple[str, ...] | str


@dataclass(frozen=True, slots=True)
class Negation:
    """The flag `--no-KEY`.

    Attributes:
        value: what it sets.
        commands: which have it; None: those that have the setting.
    """

    help: str
    value: Any = False
    commands: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting. Words may be the name of a vocabulary ("rules") that a room further up fills.

    Attributes:
        help: what `--help` says, short; {words} stands for those of a list whose vocabulary `choices` names.
        panel: the group that `--help` and the reference show it in.
        commands: which take it ("bundle calibrate"); one with a parameter of that name keeps its own.
        description: what the schema and the reference say. Default: `help`.
        examples: of values in a configuration file.
        metavar: what stands for the value in `--help`. Default: the choices.
        choices: the only words that it, its items or the values of its table may be; a Literal has its own.
        suggest: words that a shell completes, where others are allowed as well.
        keys: the only keys of a table.
        minimum, maximum: of a number.
        schema: its JSON Schema, where type and choices do not say it.
        paths: whether its texts, keys of tables included, are paths: then they are relative to the file that
            sets them. "maybe": a name, or a path if there is something there.
        splits: an option takes several items at once, separated by commas, too.
        repeats: the commands in which an option that takes one value may come again.
        repeats_help: what those say about it.
        negation: the flag `--no-KEY`. A boolean that is on by default has no other option.
        only_command_line: why neither a file nor the environment may set it, after "since".
        example: of the option, for the message about an item that is not KEY=VALUE.
        option: how the commands spell it that declare it themselves, for the reference.
        name: the field.
        type: the field's annotation.
        default: its value when nobody sets it; None is "not set".
    """

    help: str
    panel: str
    commands: tuple[str, ...] = ()
    description: str = ""
    examples: tuple[Any, ...] = ()
    metavar: str = ""
    choices: Words = ()
    suggest: Words = ()
    keys: Words = ()
    minimum: float | None = None
    maximum: float | None = None
    schema: Mapping[str, Any] | None = None
    paths: Paths = "never"
    splits: bool = False
    repeats: tuple[str, ...] = ()
    repeats_help: str = ""
    negation: Negation | None = None
    only_command_line: str = ""
    example: str = ""
    option: str = ""
    name: str = ""
    type: Any = None
    default: Any = None

    @property
    def key(self) -> str:
        """Its key in a configuration file."""
        return self.name.replace("_", "-")

    @property
    def flag(self) -> str:
        return f"--{self.key}"

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + self.name.upper()

    @property
    def plain_type(self) -> Any:
        """Its type without None."""
        return without_none(self.type)

    @property
    def words(self) -> Words:
        """The only words that are allowed, if they are few."""
        return self.choices or literals(self.plain_type)

    @property
    def shown_metavar(self) -> str:
        return self.metavar or "|".join(self.words)

    @property
    def kind(self) -> str:
        """How its value is built: a type of JSON Schema; "string" where several are allowed."""
        return kind_of(self.plain_type)

    @property
    def is_argument(self) -> bool:
        """Whether commands take it as an argument, not as an option."""
        return self.metavar == "PATH"

    @property
    def is_on_by_default(self) -> bool:
        """Whether it is a boolean that only `--no-KEY` changes."""
        return self.kind == "boolean" and self.default is True

    @property
    def holds_lists(self) -> bool:
        """Whether it is a table whose values are lists."""
        return self.kind == "object" and kind_of(get_args(self.plain_type)[1]) == "array"

    @property
    def is_nested(self) -> bool:
        """Whether it is a table that may hold tables: no text `key=value` says it."""
        return self.kind == "object" and any(
            kind_of(part) == "object" for part in alternatives(get_args(self.plain_type)[1])
        )

    def commands_that_negate(self) -> tuple[str, ...]:
        if self.negation is None:
            return ()
        return self.commands if self.negation.commands is None else self.negation.commands

    def map_paths(self, value: Any, change: Callable[[str], str]) -> Any:
        """Return `value` with every text in it changed, if its texts are paths."""
        return _map_texts(value, change) if self.paths != "never" else value


def setting(default: Any, help: str, panel: str, **declared: Any) -> Any:
    """Declare a field of a table; see `Setting` for what can be said about it."""
    metadata = {_METADATA: Setting(help=help, panel=panel, **declared)}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


class Table:
    """The settings that a dataclass declares, in its order; fields without `setting` are none.

    Args:
        settings: the dataclass.
        vocabularies: words by name, to make the schema from. None: the published schema holds.
    """

    def __init__(self, settings: type[Any], vocabularies: Mapping[str, Sequence[str]] | None = None) -> None:
        self.settings = settings
        self.vocabularies = vocabularies
        # The annotations are evaluated here, once: they are text wherever annotations are postponed.
        hints = get_type_hints(settings)
        self.by_name: dict[str, Setting] = {}
        for each in fields(settings):
            declared = each.metadata.get(_METADATA)
            if declared is not None:
                default = each.default_factory() if callable(each.default_factory) else each.default
                self.by_name[each.name] = replace(
                    declared, name=each.name, type=hints[each.name], default=default
                )

    def __iter__(self) -> Iterator[Setting]:
        return iter(self.by_name.values())

    @cached_property
    def by_key(self) -> dict[str, Setting]:
        """The settings that a configuration file or the environment may set."""
        return {each.key: each for each in self if not each.only_command_line}

    @cached_property
    def of_the_command_line(self) -> tuple[Setting, ...]:
        """The settings that only the command line may set."""
        return tuple(each for each in self if each.only_command_line)


def alternatives(type_: Any) -> tuple[Any, ...]:
    """Return the types of a union, None left out; else the type alone."""
    if get_origin(type_) not in (Union, types.UnionType):
        return (type_,)
    return tuple(part for part in get_args(type_) if part is not type(None))


def without_none(type_: Any) -> Any:
    """`X` of `X | None`; other types are returned as they are."""
    parts = alternatives(type_)
    return parts[0] if len(parts) == 1 else type_


def literals(type_: Any) -> tuple[str, ...]:
    """Return the words of a Literal; none of any other type."""
    return get_args(type_) if get_origin(type_) is Literal else ()


def kind_of(type_: Any) -> str:
    """Return the type of JSON Schema that stands for a type; "string" for a union of several."""
    plain: dict[Any, str] = {bool: "boolean", int: "integer", float: "number"}
    if type_ in plain:
        return plain[type_]
    origin = get_origin(type_)
    if not isinstance(origin, type):
        return "string"
    if issubclass(origin, Mapping):
        return "object"
    return "array" if issubclass(origin, Sequence) else "string"


def _map_texts(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key): _map_texts(each, change) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_map_texts(each, change) for each in value)
    return value
