"""Where the files that ship beside the code lie: in a wheel inside the package, in a checkout at its root."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent


def rules_dir() -> Path:
    """Return the folder of rule packs, rule pages and JSON Schemas."""
    packed = _PACKAGE / "_rules"
    return packed if packed.is_dir() else _PACKAGE.parent / "rules"


def hooks_dir() -> Path:
    """Return the folder of native git hooks."""
    packed = _PACKAGE / "_hooks"
    return packed if packed.is_dir() else _PACKAGE.parent / "hooks"


def recipes_dir() -> Path:
    """Return the folder of recipes of bundles."""
    packed = _PACKAGE / "_recipes"
    return packed if packed.is_dir() else _PACKAGE.parent / "examples" / "recipes"


def bundles_dir() -> Path:
    """Return the folder of embedded direction bundles; the default one is `default` in it."""
    return _PACKAGE / "_bundles"


def schema_path(name: str) -> Path:
    """Return the file of the published JSON Schema `name`: "config" is `schemas/config.schema.json`."""
    return rules_dir() / "schemas" / f"{name}.schema.json"


def load_schema(name: str) -> dict[str, Any]:
    """Return the published JSON Schema `name`."""
    schema: dict[str, Any] = json.loads(schema_path(name).read_text(encoding="utf-8"))
    return schema
