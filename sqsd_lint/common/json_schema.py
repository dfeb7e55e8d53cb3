"""JSON Schemas of models, for editors and for other programs: made from the types, never written by hand."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import msgspec

_ATTRIBUTE = re.compile(r"(\w+(?:, \w+)*): (\S.*)")


def schema_of(
    kind: Any,
    name: str,
    title: str,
    *,
    description: str = "",
    enums: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Return the JSON Schema of a model, described by the docstrings of its parts.

    Args:
        name: of the schema, "bundle"; its id ends with it.
        title: what the file is, in a few words.
        description: what the file is, where it is no model but a table of them.
        enums: words by the name that a type's `enum` has in their place (`extra_json_schema`).
    """
    (whole,), parts = msgspec.json.schema_components([kind])
    for model in _models(kind, set()):
        _describe(parts[model.__name__], model)
    top = parts.pop(whole["$ref"].rpartition("/")[2]) if "$ref" in whole else whole
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:sqsd-lint:schema:{name}",
        "title": title,
    }
    schema = {**head, **({"description": description} if description else {}), **top}
    if parts:
        schema["$defs"] = dict(sorted(parts.items()))
    found: dict[str, Any] = _with_words(schema, enums or {})
    return found


def _with_words(schema: Any, enums: Mapping[str, Sequence[str]]) -> Any:
    """Return a schema with words for the names of enums."""
    if isinstance(schema, dict):
        named = isinstance(schema.get("enum"), str)
        return {
            key: list(enums[part]) if named and key == "enum" else _with_words(part, enums)
            for key, part in schema.items()
        }
    return [_with_words(part, enums) for part in schema] if isinstance(schema, list) else schema


def components_of(kinds: Sequence[type[msgspec.Struct]]) -> dict[str, Any]:
    """Return the schemas of models and their parts by name, as the components of an OpenAPI document."""
    _, parts = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    seen: set[Any] = set()
    for kind in kinds:
        for model in _models(kind, seen):
            _describe(parts[model.__name__], model)
    return dict(sorted(parts.items()))


def schema_text(schema: dict[str, Any]) -> str:
    """Return a schema as its file has it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _models(kind: Any, seen: set[Any]) -> Iterator[type[msgspec.Struct]]:
    """Yield every model that a type is made of, once."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if kind not in seen:
            seen.add(kind)
            yield kind
            for each in msgspec.structs.fields(kind):
                yield from _models(each.type, seen)
        return
    for part in get_args(kind):
        yield from _models(part, seen)


def _describe(definition: dict[str, Any], model: type[msgspec.Struct]) -> None:
    """Put a model's docstring into its schema: the first paragraph, and a line for each attribute."""
    text = inspect.cleandoc(model.__doc__ or "")
    del definition["title"]
    definition.pop("description", None)
    if summary := text.partition("\n\n")[0]:
        definition_items = {"description": _joined(summary), **definition}
        definition.clear()
        definition.update(definition_items)
    said = _attributes(text.partition("\nAttributes:\n")[2])
    for each in msgspec.structs.fields(model):
        if each.name in said:
            entry = definition["properties"][each.encode_name]
            definition["properties"][each.encode_name] = {"description": said[each.name], **entry}


def _attributes(block: str) -> dict[str, str]:
    """Return what an `Attributes:` section says, by the name of the field."""
    said: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc("\n" + block.partition("\n\n")[0]).splitlines():
        found = _ATTRIBUTE.match(line)
        if found:
            names = found[1].split(", ")
            said.update(dict.fromkeys(names, found[2]))
        else:
            said.update({name: f"{said[name]} {line.strip()}" for name in names})
    return {name: _sentence(text) for name, text in said.items()}


def _joined(text: str) -> str:
    return " ".join(text.split())


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].replace("`", "")
