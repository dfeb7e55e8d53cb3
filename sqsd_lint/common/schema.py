"""Check a document against a published JSON Schema, and describe its first fault in one sentence.

JSON Schema validation. jsonschema is imported only here, and only when something is validated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sqsd_lint import resources
from sqsd_lint.errors import ConfigError, SqsdLintError
from sqsd_lint.resources import load_schema

if TYPE_CHECKING:
    from jsonschema import ValidationError


def schema_problems(value: Any, name: str) -> list[str]:
    """Return what the published schema `name` ("bundle", "recipe") finds wrong, as `$.path: complaint`."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    validator = Draft202012Validator(resources.load_schema(name))
    problems = []
    for error in sorted(validator.iter_errors(value), key=lambda e: [str(p) for p in e.absolute_path]):
        deepest = best_match([error]) or error
        message = deepest.message if len(deepest.message) <= 300 else deepest.message[:297] + "..."
        problems.append(f"{deepest.json_path}: {message}")
    return problems


_TYPES = {
    "string": "a string",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "array": "a list",
    "object": "a table",
}


def validate(
    document: Any,
    schema: str | Mapping[str, Any],
    *,
    source: str,
    error: type[SqsdLintError] = ConfigError,
    label: Callable[[str], str] = json.dumps,
) -> None:
    """Raise `error` for the first fault of a document, in the order of its keys.

    Args:
        document: the decoded JSON or TOML value.
        schema: the schema, or the name of a published one, as `load_schema` takes it.
        source: where the document came from; the message starts with it.
        label: how to show a key (dotted for nested ones, "rules.SQSD101.threshold").
    """
    # Imported here because it costs a tenth of a second, and most runs have nothing to validate.
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    # TOML and float() know nan and inf, which pass every comparison or none; no setting means them.
    numbers = Draft202012Validator.TYPE_CHECKER.redefine("number", _is_finite)
    validator = extend(Draft202012Validator, type_checker=numbers)  # type: ignore[no-untyped-call]
    rules = load_schema(schema) if isinstance(schema, str) else schema
    faults = list(validator(rules).iter_errors(document))
    if faults:
        first = min(faults, key=lambda fault: [str(part) for part in fault.path])
        message, hint = _explain(_innermost(first), rules, label)
        raise error(f"{source}: {message}", hint=hint)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` is most likely a slip of."""
    import difflib

    by_fold = {name.casefold(): name for name in known}
    found = difflib.get_close_matches(word.casefold().replace("_", "-"), list(by_fold), n=1, cutoff=0.6)
    return by_fold[found[0]] if found else None


def _is_finite(_: object, value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _innermost(fault: ValidationError) -> ValidationError:
    """Return the fault within a value that may be of several kinds, or that of the value where none fits."""
    while fault.validator == "anyOf":
        within = [
            part
            for part in fault.context or ()
            if part.relative_path or part.validator in ("additionalProperties", "required", "anyOf")
        ]
        if not within:
            break
        fault = within[0]
    return fault


def _explain(
    fault: ValidationError, schema: Mapping[str, Any], label: Callable[[str], str]
) -> tuple[str, str | None]:
    keys = [part for part in fault.absolute_path if isinstance(part, str)]
    subschema: Mapping[str, Any] = fault.schema if isinstance(fault.schema, Mapping) else {}
    instance: Any = fault.instance
    if fault.validator == "additionalProperties":
        known = list(subschema.get("properties", {}))
        wrong = min(key for key in instance if key not in known)
        match = nearest(wrong, known)
        hint = f'Did you mean "{match}"?' if match else f"Known keys: {', '.join(sorted(known))}."
        return f"unknown key {label('.'.join([*keys, wrong]))}", hint
    if fault.validator == "required":
        missing = next(key for key in subschema["required"] if key not in instance)
        return f"missing key {label('.'.join([*keys, missing]))}", None
    where = label(".".join(keys)) if keys else "the document"
    kinds = [subschema, *subschema.get("anyOf", ())]
    choices = [each for kind in kinds for each in kind.get("enum", ()) if isinstance(each, str)]
    close = nearest(instance, choices) if isinstance(instance, str) else None
    remedy = f"Did you mean {json.dumps(close)}?" if close else None
    if remedy is None and (key := _misspelt(fault, schema)):
        remedy = f'Did you mean "{key}"?'
    return f"{where} is {_shown(instance)}, expected {expected(subschema)}", remedy


def _misspelt(fault: ValidationError, schema: Mapping[str, Any]) -> str | None:
    """Return the known key that a wrong value's key is a slip of, where other keys are allowed as well."""
    at: Any = schema
    root = schema
    path = list(fault.absolute_schema_path)
    if "additionalProperties" not in path or not isinstance(fault.absolute_path[-1], str):
        return None
    last = len(path) - 1 - path[::-1].index("additionalProperties")
    for part in path[:last]:
        at = at[part]
        if part == "$ref":  # "#/$defs/rule": the path goes on in what it names
            for step in at.split("/")[1:]:
                schema = schema[step]
            at, schema = schema, root
    return nearest(fault.absolute_path[-1], at.get("properties", ()))


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def expected(subschema: Mapping[str, Any]) -> str:
    """Return what a subschema accepts, in words."""
    if "enum" in subschema:
        choices = [json.dumps(choice) for choice in subschema["enum"]]
        return choices[0] if len(choices) == 1 else "one of " + ", ".join(choices)
    if "anyOf" in subschema:
        return " or ".join(expected(part) for part in subschema["anyOf"])
    if "const" in subschema:
        return json.dumps(subschema["const"])
    kinds = subschema.get("type", [])
    text = (
        " or ".join(_TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))
        or "another value"
    )
    if "items" in subschema and isinstance(subschema["items"], Mapping):
        text += f" whose items are {expected(subschema['items'])}"
    if "minimum" in subschema:
        text += f" of at least {subschema['minimum']}"
    if "maximum" in subschema:
        text += f" {'and' if 'minimum' in subschema else 'of'} at most {subschema['maximum']}"
    if subschema.get("minLength") or subschema.get("minItems") or subschema.get("minProperties"):
        text += ", not empty"
    if "pattern" in subschema and subschema.get("examples"):
        text += " such as " + ", ".join(json.dumps(example) for example in subschema["examples"])
    return text
