"""Write the files of `rules/` that follow from the rules: packs, their schema, schemas of accepted findings.

    python -m sqsd_lint.rules.published     writes them anew; a test fails where they are not up to date

Only editors and people read these files. The program takes packs and what may be accepted from the registry.
The configuration's schema has codes of rules as well: `make generated`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sqsd_lint.common.formats import ACCEPTABLE_RULES
from sqsd_lint.common.json_schema import schema_of, schema_text
from sqsd_lint.resources import rules_dir, schema_path
from sqsd_lint.rules.baseline import BaselineFile
from sqsd_lint.rules.packs import embedded_document, embedded_packs, pack_schema
from sqsd_lint.rules.registry import RULES
from sqsd_lint.rules.suppressions import SuppressionsFile

_SUPPRESSIONS = (
    "The content of .sqsd-lint-suppressions.toml: rows that somebody has looked at, a table per fingerprint."
)


def published() -> Iterator[tuple[Path, str]]:
    """Yield each file with the text that it must have."""
    for name in embedded_packs():
        yield rules_dir() / f"{name}.json", _pack_text(embedded_document(name))
    yield schema_path("rules"), json.dumps(pack_schema(), indent=2) + "\n"
    enums = {ACCEPTABLE_RULES: sorted(RULES.acceptable)}
    for name, kind, description in (
        ("baseline", BaselineFile, ""),
        ("suppressions", SuppressionsFile, _SUPPRESSIONS),
    ):
        schema = schema_of(kind, name, f"sqsd-lint {name}", description=description, enums=enums)
        yield schema_path(name), schema_text(schema)


def _pack_text(document: dict[str, Any]) -> str:
    """Return a pack with a rule per line."""
    lines = [f'"{code}": {_inline(entry)}' for code, entry in document["rules"].items()]
    head = {key: value for key, value in document.items() if key != "rules"}
    return json.dumps(head, indent=2)[:-2] + f',\n  "rules": {{\n{_block(lines, 4)}\n  }}\n}}\n'


def _inline(entry: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in entry.items()) + "}"


def _block(lines: Iterable[str], indent: int) -> str:
    return ",\n".join(" " * indent + line for line in lines)


if __name__ == "__main__":
    for path, text in published():
        path.write_text(text, encoding="utf-8")
