"""How options are made, and the groups that `--help` shows them in."""

from __future__ import annotations

import typer

from sqsd_lint.cli.completion import completer

MODEL = "Model and bundle"
RULES = "Rules"
ROWS = "Rows"
CHANGES = "Changes"
FIX = "Fixing"
OUTPUT = "Output"
SPEED = "Speed and cache"
CONFIG = "Configuration"


def text(*names: str, metavar: str, panel: str, help: str) -> object:
    """An option that takes a value; the shell completes it by its metavar."""
    return typer.Option(
        *names,
        metavar=metavar,
        rich_help_panel=panel,
        help=help,
        show_default=False,
        autocompletion=completer(metavar),
    )


def flag(*names: str, panel: str, help: str) -> object:
    """An option that takes none."""
    # The blank metavar keeps Typer from printing <bool> beside every flag.
    return typer.Option(*names, metavar=" ", rich_help_panel=panel, help=help, show_default=False)
