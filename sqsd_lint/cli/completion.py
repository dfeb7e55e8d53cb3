"""What a shell is told when somebody presses Tab: commands, options and the words that options take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from sqsd_lint.config.table import Table, Words
from sqsd_lint.errors import ExitCode, UsageError

PROGRAM = "sqsd-lint"
OPTIONS = ("--install-completion", "--show-completion")
# Named by the protocol between Typer's shell scripts and the program.
_VARIABLE = "_SQSD_LINT_COMPLETE"

Completer = Callable[[str], list[str]]


def is_asked() -> bool:
    """Return whether it is a shell that started this process, to learn how a line may go on."""
    return bool(os.environ.get(_VARIABLE))


def answer(command: Any) -> int:
    """Print the words that fit. A line that makes no sense yet has none: nobody wants a traceback there."""
    try:
        command.main([], prog_name=PROGRAM)
    except SystemExit as done:  # how Typer ends after its answer
        return ExitCode.USAGE if done.code else ExitCode.OK
    except Exception:
        pass
    return ExitCode.OK


@contextmanager
def installing() -> Iterator[None]:
    """Put Typer's own way to end --install-completion and --show-completion into our exit codes.

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


def completer(words: Words) -> Completer | None:
    """Return what completes an option: from its words, or from the vocabulary of that name."""
    if not words:
        return None

    def complete(incomplete: str) -> list[str]:
        if isinstance(words, str):
            return _last_of_several(incomplete, words)
        return [word for word in words if word.startswith(incomplete)]

    return complete


def codes(incomplete: str) -> list[str]:
    """Return codes of rules; of several, separated by commas, for the last one."""
    return _last_of_several(incomplete, "rules")


def _last_of_several(incomplete: str, vocabulary: str) -> list[str]:
    words = VOCABULARIES[vocabulary]()
    done, comma, last = incomplete.rpartition(",")
    if vocabulary in _IN_CAPITALS:
        last = last.upper()
    return [f"{done}{comma}{word}" for word in words if word.startswith(last)]


def _rules() -> list[str]:
    from sqsd_lint.rules.registry import RULES

    return list(RULES)


def _unscored_rules() -> list[str]:
    from sqsd_lint.rules.registry import RULES

    return list(RULES.unscored)


def _formats() -> list[str]:
    from sqsd_lint.report import FORMATS

    return list(FORMATS)


def _packs() -> list[str]:
    from sqsd_lint.rules.packs import embedded_packs

    return list(embedded_packs())


def _bundles() -> list[str]:
    from sqsd_lint.bundle.installed import list_bundles

    return [entry.id for entry in list_bundles()]


# The words that the table of settings names: what a shell completes, and what the published schema allows.
VOCABULARIES: dict[str, Callable[[], list[str]]] = {
    "rules": _rules,
    "unscored-rules": _unscored_rules,
    "formats": _formats,
    "packs": _packs,
    "bundles": _bundles,
}
_IN_CAPITALS = ("rules", "unscored-rules")


def vocabularies(table: Table) -> dict[str, list[str]]:
    """Return the words of every vocabulary that the values or keys of a table are limited to."""
    named = {name for each in table for name in (each.choices, each.keys) if isinstance(name, str)}
    return {name: VOCABULARIES[name]() for name in sorted(named)}
