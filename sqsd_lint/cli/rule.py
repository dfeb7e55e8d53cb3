"""`sqsd-lint rule`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sqsd_lint.cli.completion import codes
from sqsd_lint.errors import UsageError


def rule(
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="CODE",
            help="A rule's code or name, such as SQSD101.",
            show_default=False,
            autocompletion=codes,
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", metavar=" ", help="Every rule's page.", show_default=False)
    ] = False,
) -> None:
    """Show what a rule means and how to fix what it finds; without CODE, list all rules.

    [cyan]sqsd-lint rule SQSD101[/cyan]
    """
    from sqsd_lint.report.views import rule_pages as pages
    from sqsd_lint.rules.registry import RULES, find_rule

    if code and every:
        raise UsageError("CODE and --all contradict each other", hint="Give one of them.")
    if code:
        pages.print_pages([find_rule(code).page()], sys.stdout)
    elif every:
        pages.print_pages([each.page() for each in RULES.values()], sys.stdout)
    else:
        pages.print_rules(list(RULES.values()), sys.stdout)
