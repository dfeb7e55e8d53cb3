"""The options of commands: those of the table of settings, and the few shared ones that are no setting."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from sqsd_lint.cli.completion import completer
from sqsd_lint.config.settings import CONFIG, OUTPUT, PANELS
from sqsd_lint.config.table import Setting, Table, Words, alternatives
from sqsd_lint.resources import load_schema

Command = Callable[..., None]


@dataclass(frozen=True)
class Group:
    """Commands that share their first word.

    Attributes:
        help: what `--help` says about them.
        commands: by their second word.
        context_settings: Typer's, of those that need some.
    """

    help: str
    commands: Mapping[str, Command]
    context_settings: Mapping[str, dict[str, Any]] = field(default_factory=dict)


def text(*names: str, metavar: str, panel: str | None = None, help: str, words: Words = ()) -> Any:
    """Declare an option that takes a value.

    Args:
        words: what a shell completes, or the name of their vocabulary.
    """
    return typer.Option(
        *names,
        metavar=metavar,
        rich_help_panel=panel,
        help=help,
        show_default=False,
        autocompletion=completer(words),
    )


def flag(*names: str, panel: str | None = None, help: str) -> Any:
    """Declare an option that takes none."""
    # The blank metavar keeps Typer from printing <bool> beside every flag.
    return typer.Option(*names, metavar=" ", rich_help_panel=panel, help=help, show_default=False)


OutputFile = Annotated[
    str | None,
    text("--output-file", "-o", metavar="FILE", panel=OUTPUT, help="Write there, not to standard output."),
]
Quiet = Annotated[bool, flag("--quiet", "-q", panel=OUTPUT, help="Violations only.")]
Verbose = Annotated[
    bool,
    flag("--verbose", "-v", panel=OUTPUT, help="Also fingerprints, tokens, both projections, timing."),
]
NoProgress = Annotated[bool, flag("--no-progress", panel=OUTPUT, help="Show no progress: no bar, no lines.")]
Config = Annotated[
    str | None,
    text(
        "--config",
        metavar="FILE",
        panel=CONFIG,
        help="This configuration, not the nearest sqsd-lint.toml or pyproject.toml.",
    ),
]
Isolated = Annotated[
    bool,
    flag("--isolated", panel=CONFIG, help="Read no configuration, baseline or suppressions unless named."),
]
AsJson = Annotated[bool, flag("--json", help="Print JSON.")]


def with_settings(command: Command, name: str, table: Table) -> Command:
    """Give a command the options of the settings that it takes.

    The command itself gets its own parameters alone: it takes settings from the context, by `settings_of`,
    which knows where else they may be set.

    Args:
        command: a function with Typer's annotations; a parameter of a setting's name replaces the option.
        name: as the table's `commands` spell it.
    """
    own = inspect.signature(command, eval_str=True).parameters
    derived = [each for setting in table for each in _parameters(setting, name) if each.name not in own]
    # Passed by name, so that options may stand in the order in which `--help` is to show them.
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in sorted([*own.values(), *derived], key=_place)
    ]

    @functools.wraps(command)
    def call(**given: Any) -> None:
        command(**{name: given[name] for name in own})

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _place(parameter: inspect.Parameter) -> tuple[int, int]:
    """Return where `--help` shows a parameter: arguments, options of the command, then group by group."""
    (info,) = getattr(parameter.annotation, "__metadata__", (None,))
    if info is None or isinstance(info, typer.models.ArgumentInfo):
        return (0, 0)
    panel = info.rich_help_panel
    return (2, PANELS.index(panel)) if panel in PANELS else (1, 0)


def _parameters(setting: Setting, command: str) -> Iterator[inspect.Parameter]:
    """Yield the parameters of a command that set a setting."""
    if command in setting.commands and not setting.is_on_by_default:
        yield _parameter(setting.name, *_positive(setting, command), default=None)
    if command in setting.commands_that_negate() and setting.negation is not None:
        option = flag(f"--no-{setting.key}", panel=setting.panel, help=setting.negation.help)
        yield _parameter(f"no_{setting.name}", bool, option, default=False)


def _parameter(name: str, type_: Any, option: Any, *, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=Annotated[type_, option])


def _positive(setting: Setting, command: str) -> tuple[Any, Any]:
    """Return the type and the declaration of the option, or of the argument, that gives a value."""
    if setting.kind == "boolean":
        return bool | None, flag(setting.flag, panel=setting.panel, help=setting.help)
    if setting.is_argument:
        return list[str] | None, typer.Argument(
            metavar=setting.metavar, help=setting.help, show_default=False
        )
    repeats = command in setting.repeats
    help = (
        setting.help.replace("{words}", _published_words(setting))
        if "{words}" in setting.help
        else setting.help
    )
    option = text(
        setting.flag,
        metavar=setting.shown_metavar,
        panel=setting.panel,
        help=f"{help} {setting.repeats_help}" if repeats else help,
        words=setting.words or setting.suggest,
    )
    if repeats or setting.kind in ("array", "object"):
        return list[str] | None, option
    plain = setting.plain_type
    return (plain if plain in (int, float) and len(alternatives(setting.type)) == 1 else str) | None, option


def _published_words(setting: Setting) -> str:
    """Return the only words that items of a setting may be, from the published schema.

    The room that keeps a vocabulary, such as the codes of rules, takes longer to import than help may take.
    """
    return ", ".join(load_schema("config")["properties"][setting.key]["items"]["enum"])
