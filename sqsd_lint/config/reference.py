"""The reference of all settings, in Markdown: `docs/settings.md` is made from the table by this."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqsd_lint.common.schema import expected
from sqsd_lint.config.schema import Vocabularies, setting_schema
from sqsd_lint.config.table import Setting, Table

_WIDTH = 110
_HEAD = """\
# Settings

<!-- Made from the table of settings by `make generated`: change the table, not this page. -->

Every setting may be given in several places. The strongest wins:

1. the command line,
2. the environment, as `SQSD_LINT_` and the name; an empty variable counts as not set,
3. the file that `--config` names, else the nearest `sqsd-lint.toml`, or `pyproject.toml` with a table
   `[tool.sqsd-lint]`, in this folder or above it; files are not merged, but `extend` names another file whose
   settings this one overrides,
4. the default.

`sqsd-lint config show` lists the values in force and where each came from. Paths in a file are relative to
that file. A wrong key or value ends the run with exit code 2, and the message names the nearest right one.
In the environment, items of a list are separated by commas, and a table is `key=value,key=value`.
"""


def settings_page(table: Table, panels: Sequence[str], vocabularies: Vocabularies) -> str:
    """Return the page: a section per panel, and in it every setting in the table's order."""
    known = [*panels, *dict.fromkeys(each.panel for each in table if each.panel not in panels)]
    parts = [_HEAD]
    for panel in known:
        settings = [each for each in table if each.panel == panel]
        if settings:
            parts.append(f"## {panel}\n")
            parts += ["\n".join(_entry(each, vocabularies)) for each in settings]
    return "\n".join(parts)


def _entry(setting: Setting, vocabularies: Vocabularies) -> Iterator[str]:
    schema = setting_schema(setting, vocabularies)
    yield f"### `{setting.key}`\n"
    yield textwrap.fill(schema["description"], _WIDTH, break_on_hyphens=False) + "\n"
    value = f"* Value: {_value(schema)}. Default: {_default(setting)}."
    yield textwrap.fill(value, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    for line in _options(setting):
        yield f"* Command line: {line}"
    if setting.only_command_line:
        yield f"* Neither a file nor the environment can set it, since {setting.only_command_line}."
    else:
        yield f"* Environment: `{setting.variable}`"
    if setting.examples and not setting.only_command_line:
        first, *others = setting.examples
        note = f"  # or {', '.join(map(_toml_value, others))}" if others else ""
        yield f"\n```toml\n{_toml(setting.key, first)}{note}\n```"
    yield ""


def _value(schema: Mapping[str, Any]) -> str:
    """Return in words what values are allowed; the examples stand below."""
    schema = {key: value for key, value in schema.items() if key not in ("examples", "minLength", "minItems")}
    if "properties" in schema:
        keys = ", ".join(f"`{key}`" for key in schema["properties"])
        each = f"a table with the keys {keys}, each {_value(next(iter(schema['properties'].values())))}"
        return f"{each}; other keys: {_value(rest)}" if (rest := schema["additionalProperties"]) else each
    if schema.get("type") == "object":
        return f"a table, each value {_value(schema['additionalProperties'])}"
    if schema.get("type") == "array":
        return f"a list, each item {_value(schema['items'])}"
    if "items" in schema:
        schema = {**schema, "items": {"type": schema["items"]["type"]}}
    return expected(schema)


def _default(setting: Setting) -> str:
    if setting.default is None:
        return "not set"
    return f"`{_toml_value(setting.default)}`" if setting.default not in ({}, ()) else "none"


def _options(setting: Setting) -> Iterator[str]:
    if setting.option:
        yield f"`{setting.option}`"
    if setting.commands and not setting.is_on_by_default:
        given = (
            f"{setting.metavar} ..."
            if setting.is_argument
            else f"{setting.flag} {setting.shown_metavar}".strip()
        )
        yield f"`{given}` ({', '.join(setting.commands)})"
    if setting.commands_that_negate():
        yield f"`--no-{setting.key}` ({', '.join(setting.commands_that_negate())})"


def _toml(key: str, value: Any) -> str:
    """Return the lines of a file that set a value; a table gets its header."""
    if not isinstance(value, Mapping):
        return f"{key} = {_toml_value(value)}"
    flat = {name: each for name, each in value.items() if not isinstance(each, Mapping)}
    lines = [f"[{key}]", *(f"{_toml_key(name)} = {_toml_value(each)}" for name, each in flat.items())]
    for name, each in value.items():
        if isinstance(each, Mapping):
            lines.append(_toml(f"{key}.{_toml_key(name)}", each))
    return "\n".join(lines)


def _toml_key(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else json.dumps(key)


def _toml_value(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
