"""JSON Schema validation. jsonschema is imported only here, and only when something is validated."""

from __future__ import annotations

from typing import Any

from sqsd_lint import resources


def schema_problems(value: Any, name: str) -> list[str]:
    """What the published schema `name` ("bundle", "recipe") finds wrong, as `$.path: complaint`."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    validator = Draft202012Validator(resources.load_schema(name))
    problems = []
    for error in sorted(validator.iter_errors(value), key=lambda e: [str(p) for p in e.absolute_path]):
        deepest = best_match([error]) or error
        message = deepest.message if len(deepest.message) <= 300 else deepest.message[:297] + "..."
        problems.append(f"{deepest.json_path}: {message}")
    return problems
