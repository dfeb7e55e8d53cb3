"""`sqsd-lint config`: the settings in force, and the schema of a configuration file."""

from __future__ import annotations

import sys

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.settings import resolved_of, table_of


def show(
    context: typer.Context,
    as_json: o.AsJson = False,
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Show every setting as a check in this folder would use it, and where its value came from.

    [cyan]sqsd-lint config show[/cyan]
    """
    resolved = resolved_of(context)
    from sqsd_lint.config.describe import describe
    from sqsd_lint.report.views.settings import print_settings, print_settings_json

    print_ = print_settings_json if as_json else print_settings
    print_(describe(resolved, table_of(context)), resolved.files, sys.stdout)


def schema() -> None:
    """Print the JSON Schema of a configuration file, for editors and for other checks.

    [cyan]sqsd-lint config schema > sqsd-lint.schema.json[/cyan]
    """
    from sqsd_lint.resources import schema_path

    sys.stdout.write(schema_path("config").read_text(encoding="utf-8"))


GROUP = o.Group(
    help="Show the settings in force and where each came from.",
    commands={"show": show, "schema": schema},
)
