"""From a command's options to `config.Settings`: only what was given goes there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer

from sqsd_lint.cli.outcome import DEBUG_VARIABLE
from sqsd_lint.config import Settings, load_settings
from sqsd_lint.errors import UsageError

_SETTINGS = tuple(field.name for field in fields(Settings))


def settings_of(context: typer.Context) -> Settings:
    """The settings of a run, resolved from its options, the environment and the configuration.

    Raises:
        ConfigError, UsageError: a wrong key or value, whichever source it came from.
    """
    params: Mapping[str, Any] = context.params
    environ = {name: value for name, value in os.environ.items() if name != DEBUG_VARIABLE}
    resolved = load_settings(
        given(params),
        config=params.get("config"),
        isolated=bool(params.get("isolated")),
        cwd=Path.cwd(),
        environ=environ,
    )
    return resolved.settings


def cache_of(settings: Settings) -> Path | None:
    """The cache folder that the user named, None for the default one."""
    return Path(settings.cache_dir) if settings.cache_dir else None


def given(params: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, by field of Settings."""
    cli = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in params.items()
        if name in _SETTINGS and value not in (None, (), [])
    }
    if params.get("no_cache"):
        cli["cache"] = False
    if "columns" in cli:
        cli["columns"] = pairs(cli["columns"])
    return cli


def pairs(items: Iterable[str]) -> dict[str, str]:
    """`KEY=COLUMN` options as a mapping.

    Raises:
        UsageError: an item of another form.
    """
    columns: dict[str, str] = {}
    for item in items:
        key, equals, column = item.partition("=")
        if not (key and equals and column):
            raise UsageError(
                f"--columns: {item!r} is not KEY=COLUMN",
                hint="For example `--columns prompt=question --columns response=reply`.",
            )
        columns[key] = column
    return columns
