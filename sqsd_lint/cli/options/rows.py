"""Which rows are judged, and what becomes of those that fail."""

from __future__ import annotations

from typing import Annotated

import typer

from sqsd_lint.cli.options.option_helpers import CHANGES, FIX, ROWS, flag, text

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH",
        help="Files and folders; - reads standard input. Default: the configured ones, else this folder.",
        show_default=False,
    ),
]
Staged = Annotated[
    bool | None,
    flag("--staged", panel=CHANGES, help="Only rows that are staged and not in HEAD, as they are staged."),
]
ChangedSince = Annotated[
    str | None,
    text(
        "--changed-since",
        metavar="REF",
        panel=CHANGES,
        help="Only rows that are new since the last common commit with REF; OLD...NEW judges the commit NEW. "
        "Default: auto, the base of the pull request in CI; none judges every row.",
    ),
]
Scope = Annotated[
    str | None,
    text("--scope", metavar="rows|files", panel=CHANGES, help="Of a changed file, new rows or all of them."),
]
Fix = Annotated[
    bool,
    flag("--fix", panel=FIX, help="Move the rows that fail, byte for byte, to NAME.quarantine.EXT beside."),
]
Diff = Annotated[bool, flag("--diff", panel=FIX, help="Show what --fix would move.")]
Turns = Annotated[
    str | None,
    text("--turns", metavar="all|last", panel=ROWS, help="Which assistant turns count."),
]
MaxLength = Annotated[
    int | None,
    text("--max-length", metavar="TOKENS", panel=ROWS, help="Cut rows to so many tokens. Default: 1024."),
]
Columns = Annotated[
    list[str] | None,
    text(
        "--columns",
        metavar="KEY=COLUMN",
        panel=ROWS,
        help="Where a row keeps its parts: --columns prompt=question --columns response=reply.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    text("--exclude", metavar="GLOB", panel=ROWS, help="Leave these files out. May be repeated."),
]
ForceExclude = Annotated[
    bool | None,
    flag("--force-exclude", panel=ROWS, help="Leave them out even where they are named as PATH."),
]
StdinFormat = Annotated[
    str | None,
    text(
        "--stdin-format",
        metavar="FORMAT",
        panel=ROWS,
        help="Format of standard input, such as jsonl or csv.",
    ),
]
