"""What a shell is told when somebody presses Tab: commands, options and the words that options take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from sqsd_lint.errors import ExitCode, UsageError

PROGRAM = "sqsd-lint"
OPTIONS = ("--install-completion", "--show-completion")
# Named by the protocol between Typer's shell scripts and the program.
_VARIABLE = "_SQSD_LINT_COMPLETE"

Completer = Callable[[str], list[str]]


def is_asked() -> bool:
    """Whether it is a shell that started this process, to learn how a line may go on."""
    return bool(os.environ.get(_VARIABLE))


def answer(command: Any) -> int:
    """Prints the words that fit. A line that makes no sense yet has none: nobody wants a traceback there."""
    try:
        command.main([], prog_name=PROGRAM)
    except SystemExit as done:  # how Typer ends after its answer
        return ExitCode.USAGE if done.code else ExitCode.OK
    except Exception:
        pass
    return ExitCode.OK


@contextmanager
def installing() -> Iterator[None]:
    """Puts Typer's own way to end --install-completion and --show-completion into our exit codes.

    Raises:
        UsageError: the shell is unknown, or none could be found.
    """
    try:
        yield
    except SystemExit as done:
        raise typer.Exit(ExitCode.CANNOT_SCORE if done.code else ExitCode.OK) from None
    except typer.Exit as done:
        if done.exit_code:
            raise UsageError(
                "completion cannot be set up: the shell that this runs in is not known",
                hint="Start it from bash, zsh, fish or PowerShell.",
            ) from None
        raise


def completer(metavar: str) -> Completer | None:
    """What completes an option, by what `--help` shows in the place of its value."""
    if "|" in metavar:
        return _words(metavar.split("|"))
    if metavar == "FORMAT[:FILE]":
        return formats
    by_metavar: dict[str, Completer] = {
        "CODE,...": codes,
        "BUNDLE": _bundles,
        "PACK": _packs,
        "FORMAT[:FILE]": _formats,
    }
    return by_metavar.get(metavar)


def codes(incomplete: str) -> list[str]:
    """Codes of rules; of several, separated by commas, the last one."""
    from sqsd_lint.rules.registry import RULES

    done, comma, last = incomplete.rpartition(",")
    return [f"{done}{comma}{code}" for code in RULES if code.startswith(last.upper())]


def formats(incomplete: str) -> list[str]:
    """Formats of a report; the file behind one is the shell's business."""
    from sqsd_lint.report import FORMATS

    return [name for name in FORMATS if name.startswith(incomplete)]


def _words(words: list[str]) -> Completer:
    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


def _formats(incomplete: str) -> list[str]:
    from sqsd_lint.report import FORMATS

    return [format for format in FORMATS if format.startswith(incomplete)]


def _packs(incomplete: str) -> list[str]:
    from sqsd_lint.rules.packs import embedded_packs

    return [name for name in embedded_packs() if name.startswith(incomplete)]


def _bundles(incomplete: str) -> list[str]:
    from sqsd_lint.bundle.installed import list_bundles

    return [entry.id for entry in list_bundles() if entry.id.startswith(incomplete)]
