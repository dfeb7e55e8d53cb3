"""From a command's options to `config.Settings`: only what was given goes there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from sqsd_lint.cli.exit import DEBUG_VARIABLE
from sqsd_lint.config import TABLE, Resolved, Settings, load_settings
from sqsd_lint.config.table import Setting, Table
from sqsd_lint.errors import UsageError


def settings_of(context: typer.Context) -> Settings:
    """Return the settings of a run; see `resolved_of`."""
    return resolved_of(context).settings


def resolved_of(context: typer.Context) -> Resolved:
    """Return the settings of a run, from its options, the environment and the configuration.

    Raises:
        ConfigError, UsageError: a wrong key or value, whichever source it came from.
    """
    params: Mapping[str, Any] = context.params
    return load_settings(
        given(params, table_of(context)),
        config=params.get("config"),
        isolated=bool(params.get("isolated")),
        cwd=Path.cwd(),
        environ=_environ(),
        table=table_of(context),
    )


def table_of(context: typer.Context) -> Table:
    """Return the table of settings that the commands were made from."""
    return context.obj if isinstance(context.obj, Table) else TABLE


def judged_settings_of(context: typer.Context) -> tuple[Settings, str]:
    """Return the settings of a run that judges: of the commit --policy-ref, and with what CI compares with.

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
                given(params, table_of(context)),
                config=params.get("config"),
                isolated=bool(params.get("isolated")),
                environ=_environ(),
                table=table_of(context),
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
    """Return the cache folder that the user named, None for the default one."""
    return Path(settings.cache_dir) if settings.cache_dir else None


def given(params: Mapping[str, Any], table: Table = TABLE) -> dict[str, Any]:
    """Return the options that were given, by field of Settings.

    Raises:
        UsageError: a setting that is given and negated, or an item that is not KEY=VALUE.
    """
    cli: dict[str, Any] = {}
    for setting in table:
        value = params.get(setting.name)
        if value not in (None, (), []):
            cli[setting.name] = _value(setting, value)
        if setting.negation is not None and params.get(f"no_{setting.name}"):
            if setting.name in cli:
                raise UsageError(
                    f"{setting.flag} and --no-{setting.key} contradict each other", hint="Give one of them."
                )
            cli[setting.name] = setting.negation.value
    return cli


def _value(setting: Setting, value: Any) -> Any:
    """Return what was given in the form that a configuration file has it in."""
    if setting.kind != "object" or isinstance(value, Mapping):
        return list(value) if isinstance(value, tuple) else value
    found: dict[str, Any] = {}
    for key, text in pairs(value, setting.flag, setting.shown_metavar, setting.example):
        if setting.holds_lists:
            found.setdefault(key, []).extend(part.strip() for part in text.split(",") if part.strip())
        else:
            found[key] = text
    return found


def pairs(items: Iterable[str], option: str, form: str, example: str) -> Iterator[tuple[str, str]]:
    """Yield the two sides of options that hold an equals sign.

    Args:
        option, form, example: for the message.

    Raises:
        UsageError: an item of another form.
    """
    for item in items:
        key, equals, value = item.partition("=")
        if not (key and equals and value):
            hint = f"For example `{example}`." if example else None
            raise UsageError(f"{option}: {item!r} is not {form}", hint=hint)
        yield key, value
