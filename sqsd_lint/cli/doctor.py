"""`sqsd-lint doctor`."""

from __future__ import annotations

import sys

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.settings import resolved_of
from sqsd_lint.errors import ExitCode


def doctor(
    context: typer.Context,
    as_json: o.AsJson = False,
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Say whether a check could run here, and what is missing with the command that mends it.

    Nothing is fetched and nothing is scored. The exit code is 0 if a check could run, else 3. With --model
    it also says what memory and time a check would take.

    [cyan]sqsd-lint doctor --model Qwen/Qwen3-8B[/cyan]
    """
    from sqsd_lint.report.views.doctor import missing_facts, print_facts, print_facts_json
    from sqsd_lint.run.doctor import examine

    facts = examine(lambda: resolved_of(context))
    if as_json:
        said = list(facts)
        print_facts_json(said, sys.stdout)
        missing = bool(missing_facts(said))
    else:
        missing = bool(missing_facts(print_facts(facts, sys.stdout)))
    raise typer.Exit(ExitCode.CANNOT_SCORE if missing else ExitCode.OK)
