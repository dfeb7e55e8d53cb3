"""From a command's options to `config.Settings`: only what was given goes there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import typer

from sqsd_lint.cli.exit import DEBUG_VARIABLE
from sqsd_lint.config import Resolved, Settings, load_settings
from sqsd_lint.errors import UsageError

_SETTINGS = tuple(field.name for field in fields(Settings))


def settings_of(context: typer.Context) -> Settings:
    """The settings of a run; see `resolved_of`."""
    return resolved_of(context).settings


def resolved_of(context: typer.Context) -> Resolved:
    """The settings of a run and their origins, from its options, the environment and the configuration.

    Raises:
        ConfigError, UsageError: a wrong key or value, whichever source it came from.
    """
    params: Mapping[str, Any] = context.params
    environ = _environ()
    return load_settings(
        given(params),
        config=params.get("config"),
        isolated=bool(params.get("isolated")),
        cwd=Path.cwd(),
        environ=environ,
    )


def judged_settings_of(context: typer.Context) -> tuple[Settings, str]:
    """The settings of a run that judges: with the configuration of --policy-ref, and what CI compares with.

    Returns:
        The settings, and what the report's head says about where they come from.

    Raises:
        ConfigError, UsageError: as `resolved_of`; no such commit.
    """
    params: Mapping[str, Any] = context.params
    note = ""
    if params.get("policy_ref"):
        from sqsd_lint.discover.git.config_at_ref import settings_at
        from sqsd_lint.discover.git.policy_ref import PolicyRef

        with closing(PolicyRef(params["policy_ref"])) as policy:
            resolved, note = settings_at(
                policy,
                given(params),
                config=params.get("config"),
                isolated=bool(params.get("isolated")),
                environ=_environ(),
            )
        settings = resolved.settings
    else:
        settings = settings_of(context)
    if not settings.staged and settings.changed_since is None and "-" not in settings.paths:
        from sqsd_lint.discover import AUTO, ci_base

        if ci_base(os.environ):
            settings = replace(settings, changed_since=AUTO)
    return settings, note


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != DEBUG_VARIABLE}


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
    if params.get("no_inline_suppressions"):
        cli["inline_suppressions"] = False
    if params.get("no_baseline"):
        if "baseline" in cli:
            raise UsageError("--baseline and --no-baseline contradict each other", hint="Give one of them.")
        cli["baseline"] = ""
    if "columns" in cli:
        example = "--columns prompt=question --columns response=reply"
        cli["columns"] = dict(pairs(cli["columns"], "--columns", "KEY=COLUMN", example))
    if "per_file_ignores" in cli:
        example = "--per-file-ignores 'legacy/*.jsonl=SQSD102,SQSD302'"
        found: dict[str, list[str]] = {}
        for glob, codes in pairs(cli["per_file_ignores"], "--per-file-ignores", "GLOB=CODE,...", example):
            found.setdefault(glob, []).extend(code.strip() for code in codes.split(",") if code.strip())
        cli["per_file_ignores"] = found
    return cli


def pairs(items: Iterable[str], option: str, form: str, example: str) -> Iterator[tuple[str, str]]:
    """The two sides of options that hold an equals sign.

    Args:
        option, form, example: for the message.

    Raises:
        UsageError: an item of another form.
    """
    for item in items:
        key, equals, value = item.partition("=")
        if not (key and equals and value):
            raise UsageError(f"{option}: {item!r} is not {form}", hint=f"For example `{example}`.")
        yield key, value
