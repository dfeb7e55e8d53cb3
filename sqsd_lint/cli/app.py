"""The app: its commands, `check` as the one that is meant when none is named, and the entry point."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Collection, Sequence
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
    validate,
)
from sqsd_lint.cli.exit import prepare_streams, run
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
    """Puts `check` in front unless the arguments name a command or ask for help.

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


app = typer.Typer(
    cls=DefaultCommandGroup,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="[COMMAND] [PATH]...",
    epilog="[dim]Exit codes: 0 no violation, 1 violations, 2 wrong usage, 3 something has no score.[/dim]",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sqsd-lint {__version__}")
        raise typer.Exit


@app.callback()
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


app.command("check")(check.check)
app.command("score")(score.score)
app.command("explain")(explain.explain)
app.add_typer(bundle.app, name="bundle")
app.command("lock")(lock.lock)
app.command("baseline")(baseline.baseline)
app.command("rule")(rule.rule)
app.add_typer(hook.app, name="hook")
app.add_typer(config.app, name="config")
app.command("drift")(drift.drift)
app.command("validate")(validate.validate)
app.command("doctor")(doctor.doctor)
app.add_typer(cache.app, name="cache")
app.command("clean")(clean.clean)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, 1, 2 or 3 (`errors.ExitCode`)."""
    args = list(sys.argv[1:] if argv is None else argv)
    prepare_streams()
    command = get_command(app)

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
