"""The app: its commands, `check` as the one that is meant when none is named, and the entry point."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from sqsd_lint._version import __version__
from sqsd_lint.cli import (
    baseline,
    bundle,
    cache,
    check,
    clean,
    completion,
    config,
    doctor,
    drift,
    explain,
    hook,
    lock,
    rule,
    score,
    serve,
    suppress,
    validate,
)
from sqsd_lint.cli.exit import prepare_streams, run
from sqsd_lint.cli.options import Command, Group, with_settings
from sqsd_lint.config.settings import TABLE
from sqsd_lint.config.table import Table
from sqsd_lint.errors import UsageError

_DEFAULT = "check"
_OF_THE_GROUP = ("--help", "-h", "--version", *completion.OPTIONS)


class DefaultCommandGroup(TyperGroup):
    """A group of commands in which paths and options without a command belong to `check`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # To a shell that completes the first word, every command is still open.
        if args or not ctx.resilient_parsing:
            args = with_command(args, self.commands)
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            check = self.commands[_DEFAULT]
            with check.make_context(_DEFAULT, [], parent=ctx, resilient_parsing=True) as inner:
                found = [*found, *check.shell_complete(inner, incomplete)]
        return found


def with_command(args: list[str], commands: Collection[str]) -> list[str]:
    """Put `check` in front unless the arguments name a command or ask for help.

    Raises:
        UsageError: the first word is no path but nearly a command.
    """
    first = args[0] if args else ""
    if first in commands or first in _OF_THE_GROUP:
        return args
    if first.isidentifier() and not Path(first).exists():
        near = difflib.get_close_matches(first, commands, n=1, cutoff=0.7)
        if near:
            raise UsageError(
                f"no command and no path is called {first!r}",
                hint=f"Did you mean `sqsd-lint {near[0]}`?",
            )
    return [_DEFAULT, *args]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sqsd-lint {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            metavar=" ",
            callback=_version,
            is_eager=True,
            help="Print the version and exit.",
            show_default=False,
        ),
    ] = False,
) -> None:
    """Find the rows of fine-tuning data that would push a language model towards danger.

    [cyan]sqsd-lint data/[/cyan] is short for [cyan]sqsd-lint check data/[/cyan].
    """


# In the order in which `--help` shows them; a group is a mapping of its own commands.
COMMANDS: Mapping[str, Command | Group] = {
    "check": check.check,
    "score": score.score,
    "explain": explain.explain,
    "bundle": bundle.GROUP,
    "lock": lock.lock,
    "suppress": suppress.suppress,
    "baseline": baseline.baseline,
    "rule": rule.rule,
    "hook": hook.GROUP,
    "config": config.GROUP,
    "drift": drift.drift,
    "validate": validate.validate,
    "serve": serve.serve,
    "doctor": doctor.doctor,
    "cache": cache.GROUP,
    "clean": clean.clean,
}
_EPILOG = "[dim]Exit codes: 0 no violation, 1 violations, 2 wrong usage, 3 something has no score.[/dim]"
_HELP = {"help_option_names": ["-h", "--help"]}


def build(table: Table = TABLE) -> typer.Typer:
    """Make the app, with the options of a table of settings."""
    app = typer.Typer(
        cls=DefaultCommandGroup,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={**_HELP, "obj": table},
        subcommand_metavar="[COMMAND] [PATH]...",
        epilog=_EPILOG,
    )
    app.callback()(root)
    for name, command in COMMANDS.items():
        if isinstance(command, Group):
            group = typer.Typer(help=command.help, context_settings=_HELP)
            for part, function in command.commands.items():
                settings = command.context_settings.get(part)
                made = with_settings(function, f"{name} {part}", table)
                group.command(part, context_settings=settings)(made)
            app.add_typer(group, name=name)
        else:
            app.command(name)(with_settings(command, name, table))
    return app


def main(argv: Sequence[str] | None = None, *, table: Table = TABLE) -> int:
    """Run one command and return its exit code: 0, 1, 2 or 3 (`errors.ExitCode`)."""
    args = list(sys.argv[1:] if argv is None else argv)
    prepare_streams()
    command = get_command(build(table))

    def call() -> None:
        # Not `command.main`: it would turn a closed pipe into 1 and Ctrl-C into 130.
        with command.make_context(completion.PROGRAM, args) as context:
            command.invoke(context)

    def install() -> None:
        with completion.installing():
            call()

    if completion.is_asked():
        return completion.answer(command)
    if args and args[0] in completion.OPTIONS:
        return run(install)
    return run(call, debug="--verbose" in args or "-v" in args)
