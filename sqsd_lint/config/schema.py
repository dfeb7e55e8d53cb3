"""The JSON Schema of a configuration file, made from the table of settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union, get_args

from sqsd_lint.config.table import Setting, Table, Words, alternatives, kind_of, literals
from sqsd_lint.resources import load_schema

Vocabularies = Mapping[str, Sequence[str]]

# What a file may hold beside settings.
SCHEMA_KEY, EXTEND = "$schema", "extend"
_NO_SETTINGS = {
    SCHEMA_KEY: {"type": "string", "description": "The address of this schema, for editors."},
    EXTEND: {
        "type": "string",
        "minLength": 1,
        "description": "Another configuration file, relative to this one, whose settings this one overrides.",
        "examples": ["../sqsd-lint.toml"],
    },
}


def schema_of(table: Table) -> dict[str, Any]:
    """Return the schema that settings are held against: the published one, or that of a test's table."""
    if table.vocabularies is None:
        return load_schema("config")
    return config_schema(table, table.vocabularies)


def config_schema(table: Table, vocabularies: Vocabularies) -> dict[str, Any]:
    """Make the schema of a configuration file.

    Args:
        table: the settings.
        vocabularies: the words of every vocabulary that the table names.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:sqsd-lint:schema:config",
        "title": "sqsd-lint configuration",
        "description": "The content of sqsd-lint.toml, or of the table [tool.sqsd-lint] in pyproject.toml.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **_NO_SETTINGS,
            **{key: setting_schema(each, vocabularies) for key, each in table.by_key.items()},
        },
    }


def setting_schema(setting: Setting, vocabularies: Vocabularies) -> dict[str, Any]:
    """Make the schema of one setting's values, with its description, default and examples."""
    if setting.schema is not None:
        schema = dict(setting.schema)
    else:
        schema = _value_schema(setting.type, setting, vocabularies, keys=setting.keys)
    schema["description"] = setting.description or setting.help
    if setting.default is not None:
        default = setting.default
        schema["default"] = list(default) if isinstance(default, tuple) else default
    if setting.examples:
        schema["examples"] = list(setting.examples)
    return schema


def _value_schema(
    type_: Any, setting: Setting, vocabularies: Vocabularies, *, keys: Words = ()
) -> dict[str, Any]:
    parts = alternatives(type_)
    if len(parts) > 1:
        return {"anyOf": [_value_schema(part, setting, vocabularies, keys=keys) for part in parts]}
    (plain,) = parts
    kind = kind_of(plain)
    if kind == "array":
        return {"type": kind, "items": _value_schema(get_args(plain)[0], setting, vocabularies)}
    if kind == "object":
        return _table_schema(get_args(plain)[1], setting, vocabularies, keys)
    if kind == "string":
        if choices := literals(plain) or setting.choices:
            return {"enum": words_of(choices, vocabularies)}
        return {"type": kind, "minLength": 1}
    schema: dict[str, Any] = {"type": kind}
    if kind != "boolean":
        if setting.minimum is not None:
            schema["minimum"] = setting.minimum
        if setting.maximum is not None:
            schema["maximum"] = setting.maximum
    return schema


def _table_schema(
    value_type: Any, setting: Setting, vocabularies: Vocabularies, keys: Words
) -> dict[str, Any]:
    """Make the schema of a table; where it holds tables, the keys are those of the innermost ones.

    A table of values and tables, such as one with defaults and exceptions by file pattern, takes the known
    keys for its values and any other key for a table.
    """
    known = words_of(keys, vocabularies)
    parts = alternatives(value_type)
    tables = [part for part in parts if kind_of(part) == "object"]
    if not known or len(tables) == len(parts):
        others = _value_schema(value_type, setting, vocabularies, keys=keys)
        return {"type": "object", "additionalProperties": others}
    values = [part for part in parts if part not in tables]
    value = _value_schema(Union[tuple(values)], setting, vocabularies)  # noqa: UP007
    rest = _value_schema(Union[tuple(tables)], setting, vocabularies, keys=keys) if tables else False  # noqa: UP007
    return {"type": "object", "additionalProperties": rest, "properties": dict.fromkeys(known, value)}


def words_of(words: Words, vocabularies: Vocabularies) -> list[str]:
    """Return the words themselves where a vocabulary is named."""
    return list(vocabularies[words] if isinstance(words, str) else words)
