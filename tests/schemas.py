"""The published JSON Schemas that are made from models: `python -m tests.schemas` writes them anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqsd_lint.bundle.lock import LockFile
from sqsd_lint.bundle.manifest import Manifest
from sqsd_lint.common.json_schema import schema_of, schema_text
from sqsd_lint.resources import schema_path
from sqsd_lint.training.recipe import RecipeFile

SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "bundle": lambda: schema_of(Manifest, "bundle", "Manifest of a direction bundle (bundle.json)"),
    "lock": lambda: schema_of(LockFile, "lock", "sqsd-lint lock"),
    "recipe": lambda: _may_extend(schema_of(RecipeFile, "recipe", "Recipe of a direction bundle")),
}


def _may_extend(schema: dict[str, Any]) -> dict[str, Any]:
    """Let a recipe that extends another one leave out what that has."""
    needed = schema.pop("required")
    return {**schema, "anyOf": [{"required": needed}, {"required": ["extends"]}]}


if __name__ == "__main__":
    for name, schema in SCHEMAS.items():
        schema_path(name).write_text(schema_text(schema()), encoding="utf-8")
