"""Writes what derives from the table of settings: `make generated`.

rules/schemas/config.schema.json  the JSON Schema of configuration files
docs/settings.md                  the reference of all settings
"""

from __future__ import annotations

import json
from pathlib import Path

from sqsd_lint.cli.completion import vocabularies
from sqsd_lint.config.reference import settings_page
from sqsd_lint.config.schema import config_schema
from sqsd_lint.config.settings import PANELS, TABLE

ROOT = Path(__file__).resolve().parent.parent


def generated() -> dict[Path, str]:
    """Return what the generated files are to hold."""
    words = vocabularies(TABLE)
    schema = json.dumps(config_schema(TABLE, words), indent=2, ensure_ascii=False)
    return {
        ROOT / "rules/schemas/config.schema.json": f"{schema}\n",
        ROOT / "docs/settings.md": settings_page(TABLE, PANELS, words),
    }


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
