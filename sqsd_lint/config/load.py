"""Which source wins: command line, environment, --config or the nearest file, built-in default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from sqsd_lint.common.schema import nearest, validate
from sqsd_lint.config.files import find_file, lock_beside, read_file
from sqsd_lint.config.settings import Resolved, Settings
from sqsd_lint.errors import ConfigError, UsageError
from sqsd_lint.resources import load_schema

PREFIX = "SQSD_LINT_"
_THRESHOLDS = ("threshold", "warning-threshold")
_CODE_LISTS = ("select", "ignore", "allow")
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
_CONSTRAINTS = ("enum", "pattern", "minimum", "additionalProperties", "$ref")


def load_settings(
    cli: Mapping[str, Any],
    *,
    config: str | None = None,
    isolated: bool = False,
    cwd: Path,
    environ: Mapping[str, str],
) -> Resolved:
    """Resolves every setting from its strongest source.

    Args:
        cli: values from the command line by field of Settings; None, and an empty list, is "not given".
        config: the file that --config names, relative to `cwd`; then no other file is looked for.
        isolated: read no configuration file and no lock, and a baseline or suppressions only if named.

    Raises:
        ConfigError: a wrong file, key or value, named with its source and what was expected.
    """
    if config is not None and isolated:
        raise UsageError("--config and --isolated contradict each other", hint="Give one of them.")
    cwd = cwd.resolve()
    file = None if isolated else (cwd / Path(config).expanduser() if config is not None else find_file(cwd))
    values: dict[str, Any] = {}
    origins = {field.name: "default" for field in fields(Settings)}
    files: tuple[str, ...] = ()
    if isolated:
        values.update(baseline="", suppressions="")
    if file is not None:
        layers = read_file(file, cwd)
        files = layers.files
        values.update(layers.values)
        origins.update({_field(key): origin for key, origin in layers.origins.items()})
    for key, value in _from_environment(environ).items():
        values[key] = value
        origins[_field(key)] = f"environment {_variable(key)}"
    for key, value in _from_command_line(cli).items():
        values[key] = value
        origins[_field(key)] = "command line"
    if not isolated:
        values["lock"] = lock_beside(file, cwd)
    if isinstance(values.get("bundle"), list):
        _split_bundles(values)
        origins["opinions"] = origins["bundle"]
    settings = Settings(**{_field(key): _frozen(key, value) for key, value in values.items()})
    return Resolved(settings, origins, files)


def _split_bundles(values: dict[str, Any]) -> None:
    """Puts a list of bundles where settings have it; one bundle is no list."""
    named = values["bundle"]
    values["bundle"] = named[0]
    if len(named) > 1:
        values["opinions"] = named


def _from_command_line(cli: Mapping[str, Any]) -> dict[str, Any]:
    known = {field.name for field in fields(Settings)}
    given: dict[str, Any] = {}
    for name, value in cli.items():
        if name not in known:
            raise TypeError(f"{name} is not a setting")
        if value is None or value == [] or value == ():
            continue
        key = name.replace("_", "-")
        if name in _CODE_LISTS:
            items = [value] if isinstance(value, str) else value
            value = [code for item in items for code in _split(item)]
        elif isinstance(value, tuple):
            value = list(value)
        given[key] = value
    _check(given, source="command line", option=lambda key: f"--{key}")
    return given


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Reads SQSD_LINT_*; an empty variable counts as not set, which is what CI templates leave behind."""
    schema: dict[str, Any] = load_schema("config")["properties"]
    known = {_variable(key): key for key in schema if key not in ("$schema", "extend")}
    given: dict[str, Any] = {}
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or not text.strip():
            continue
        if name == f"{PREFIX}TRUST_REMOTE_CODE":
            raise ConfigError(
                f"environment: {name} is not read: only your own command line may trust remote code",
                hint="Unset it and give --trust-remote-code.",
            )
        if name not in known:
            match = nearest(name, known)
            raise ConfigError(
                f"environment: {name} is not a setting",
                hint=f"Did you mean {match}?" if match else "`sqsd-lint config show` lists them.",
            )
        given[known[name]] = _parsed(name, text.strip(), schema[known[name]])
    _check(given, source="environment", option=_variable)
    return given


def _parsed(name: str, text: str, subschema: Mapping[str, Any]) -> Any:
    """An environment variable's text as a value of the schema's type; lists are separated by commas."""
    kind = subschema.get("type", "string")
    if kind == "boolean":
        if text.casefold() not in _WORDS:
            raise ConfigError(f"environment: {name} is {text!a}, expected true or false")
        return _WORDS[text.casefold()]
    if kind in ("integer", "number"):
        try:
            return int(text) if kind == "integer" else float(text)
        except ValueError:
            expected = "an integer" if kind == "integer" else "a number"
            raise ConfigError(f"environment: {name} is {text!a}, expected {expected}") from None
    if kind == "array":
        return _split(text)
    if kind == "object":
        return _table(name, text, of_lists="array" in str(subschema.get("additionalProperties")))
    return text


def _table(name: str, text: str, *, of_lists: bool) -> dict[str, Any]:
    """`key=value,key=value`; where the values are lists, a key may come again and adds one item each time."""
    table: dict[str, Any] = {}
    for item in _split(text):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not (key and equals and value):
            raise ConfigError(f"environment: {name} is {text!a}, expected key=value,key=value")
        if of_lists:
            table.setdefault(key, []).append(value)
        else:
            table[key] = value
    return table


def _check(given: dict[str, Any], *, source: str, option: Callable[[str], str]) -> None:
    """Validates what the types do not settle already, so that plain runs need no validator."""
    schema: dict[str, Any] = load_schema("config")["properties"]
    document = {key: value for key, value in given.items() if _constrained(schema.get(key, {}))}
    if document:
        validate(document, "config", source=source, label=option)


def _constrained(subschema: Mapping[str, Any]) -> bool:
    return any(word in subschema or word in subschema.get("items", {}) for word in _CONSTRAINTS)


def _frozen(key: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if key in _THRESHOLDS:  # TOML may hold a number
        return str(value)
    return value


def _split(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _field(key: str) -> str:
    return key.replace("-", "_")


def _variable(key: str) -> str:
    return PREFIX + key.replace("-", "_").upper()
