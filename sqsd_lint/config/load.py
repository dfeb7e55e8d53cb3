"""Which source wins: command line, environment, --config or the nearest file, built-in default."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from sqsd_lint.common.schema import nearest, validate
from sqsd_lint.config.files import find_file, lock_path, read_file
from sqsd_lint.config.schema import schema_of
from sqsd_lint.config.settings import TABLE, TOKEN_VARIABLE, Resolved
from sqsd_lint.config.table import PREFIX, Setting, Table, alternatives, kind_of
from sqsd_lint.errors import ConfigError, UsageError

_WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_CONSTRAINTS = ("enum", "pattern", "minimum", "maximum", "additionalProperties", "anyOf")


def load_settings(
    cli: Mapping[str, Any],
    *,
    config: str | None = None,
    isolated: bool = False,
    cwd: Path,
    environ: Mapping[str, str],
    table: Table = TABLE,
) -> Resolved:
    """Resolve every setting from its strongest source.

    Args:
        cli: values from the command line by field of Settings; None, and an empty list, is "not given".
        config: the file that --config names, relative to `cwd`; then no other file is looked for.
        isolated: read no configuration file and no lock, and a baseline or suppressions only if named.
        table: what can be set.

    Raises:
        ConfigError: a wrong file, key or value, named with its source and what was expected.
    """
    if config is not None and isolated:
        raise UsageError("--config and --isolated contradict each other", hint="Give one of them.")
    cwd = cwd.resolve()
    file = None if isolated else (cwd / Path(config).expanduser() if config is not None else find_file(cwd))
    values: dict[str, Any] = {}
    origins = {field.name: "default" for field in fields(table.settings)}
    files: tuple[str, ...] = ()
    if isolated:
        values.update(baseline="", suppressions="")
    if file is not None:
        layers = read_file(file, cwd, table)
        files = layers.files
        for key, value in layers.values.items():
            values[table.by_key[key].name] = value
            origins[table.by_key[key].name] = layers.origins[key]
    for name, value in _from_environment(environ, table).items():
        values[name] = value
        origins[name] = f"environment {table.by_name[name].variable}"
    for name, value in _from_command_line(cli, table).items():
        values[name] = value
        origins[name] = "command line"
    if not isolated:
        values["lock"] = lock_path(file, cwd)
    if isinstance(values.get("bundle"), list):
        _split_bundles(values)
        origins["opinions"] = origins["bundle"]
    settings = table.settings(**{name: _frozen(table, name, value) for name, value in values.items()})
    return Resolved(settings, origins, files)


def _split_bundles(values: dict[str, Any]) -> None:
    """Put a list of bundles where settings have it; one bundle is no list."""
    named = values["bundle"]
    values["bundle"] = named[0]
    if len(named) > 1:
        values["opinions"] = named


def _from_command_line(cli: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """Return what was given, by field."""
    known = {field.name for field in fields(table.settings)}
    given: dict[str, Any] = {}
    for name, value in cli.items():
        if name not in known:
            raise TypeError(f"{name} is not a setting")
        if value is None or value == [] or value == ():
            continue
        setting = table.by_name.get(name)
        if setting is not None and setting.splits:
            items = [value] if isinstance(value, str) else value
            value = [part for item in items for part in _split(item)]
        elif isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, str) and setting is not None and len(alternatives(setting.type)) > 1:
            value = _parsed(value, setting, setting.flag)
        given[name] = value
    _check(given, table, source="command line", label=lambda setting: setting.flag)
    return given


def _from_environment(environ: Mapping[str, str], table: Table) -> dict[str, Any]:
    """Read SQSD_LINT_*; an empty variable counts as not set, which is what CI templates leave behind."""
    named = sorted(
        name
        for name, text in environ.items()
        if name.startswith(PREFIX) and name != TOKEN_VARIABLE and text.strip()
    )
    if not named:
        return {}
    known = {setting.variable: setting for setting in table.by_key.values()}
    reserved = {setting.variable: setting for setting in table.of_the_command_line}
    given: dict[str, Any] = {}
    for name in named:
        if name in reserved:
            raise ConfigError(
                f"environment: {name} is not read: only your own command line may set {reserved[name].key}",
                hint=f"Unset it and give {reserved[name].flag}.",
            )
        if name not in known:
            match = nearest(name, known)
            raise ConfigError(
                f"environment: {name} is not a setting",
                hint=f"Did you mean {match}?" if match else "`sqsd-lint config show` lists them.",
            )
        given[known[name].name] = _parsed(environ[name].strip(), known[name], f"environment: {name}")
    _check(given, table, source="environment", label=lambda setting: setting.variable)
    return given


def _parsed(text: str, setting: Setting, source: str) -> Any:
    """Read a text as a value of the setting's type; lists are separated by commas.

    Args:
        source: what the message about a wrong text begins with.
    """
    kind = setting.kind
    if kind == "boolean":
        if text.casefold() not in _WORDS:
            raise ConfigError(f"{source} is {text!a}, expected true or false")
        return _WORDS[text.casefold()]
    if kind in ("integer", "number"):
        try:
            return int(text) if kind == "integer" else float(text)
        except ValueError:
            expected = "an integer" if kind == "integer" else "a number"
            raise ConfigError(f"{source} is {text!a}, expected {expected}") from None
    if kind == "array":
        return _split(text)
    if setting.is_nested and text.startswith("{"):
        return _json_table(text, source)
    if kind == "object":
        return _table(text, source, of_lists=setting.holds_lists)
    return _number_of(text, setting)


def _number_of(text: str, setting: Setting) -> Any:
    """Read a text as a number where the setting may be one beside words; other texts stay as they are."""
    kinds = {kind_of(part) for part in alternatives(setting.type)}
    for kind, convert in (("integer", int), ("number", float)):
        if kind in kinds:
            try:
                return convert(text)
            except ValueError:
                continue
    return text


def _table(text: str, source: str, *, of_lists: bool) -> dict[str, Any]:
    """Read `key=value,key=value`; where values are lists, a key that comes again adds an item to its list."""
    table: dict[str, Any] = {}
    for item in _split(text):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not (key and equals and value):
            raise ConfigError(f"{source} is {text!a}, expected key=value,key=value")
        if of_lists:
            table.setdefault(key, []).append(value)
        else:
            table[key] = value
    return table


def _json_table(text: str, source: str) -> dict[str, Any]:
    """Read a table of tables, which `key=value` cannot say, from JSON."""
    try:
        table = json.loads(text)
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise ConfigError(f"{source} is {text!a}, expected a table in JSON", hint='Such as {"key": "value"}.')
    return table


def _check(given: Mapping[str, Any], table: Table, *, source: str, label: Callable[[Setting], str]) -> None:
    """Validate what the types do not settle already, so that plain runs need no validator."""
    if not given:
        return
    schema = schema_of(table)
    document = {}
    for name, value in given.items():
        setting = table.by_name.get(name)
        if setting is not None and _constrained(schema["properties"].get(setting.key, {})):
            document[setting.key] = value
    if document:
        validate(document, schema, source=source, label=lambda path: _labelled(path, table, label))


def _labelled(path: str, table: Table, label: Callable[[Setting], str]) -> str:
    """Return a dotted key as its source spells it: "columns.promt" as "--columns.promt"."""
    key, dot, rest = path.partition(".")
    return f"{label(table.by_key[key])}{dot}{rest}" if key in table.by_key else path


def _constrained(subschema: Mapping[str, Any]) -> bool:
    return any(word in subschema or word in subschema.get("items", {}) for word in _CONSTRAINTS)


def _frozen(table: Table, name: str, value: Any) -> Any:
    """Return a value as Settings holds it: lists as tuples, and texts where a file may also hold a number."""
    if isinstance(value, list):
        return tuple(value)
    if name in table.by_name and table.by_name[name].plain_type is str:
        return str(value)
    return value


def _split(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]
