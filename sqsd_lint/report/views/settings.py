"""`config show`: every setting, its value and where it came from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import IO, Any

from rich.text import Text

from sqsd_lint.common.escape import escape
from sqsd_lint.config.describe import Described
from sqsd_lint.report import fields
from sqsd_lint.report.style.page import open_page

_WIDEST_VALUE = 32


def print_settings(settings: Sequence[Described], files: Sequence[str], stream: IO[str]) -> None:
    """Print the files in force, then a line per setting; those that somebody set stand out.

    Args:
        files: the configuration file and those that it extends, the strongest first.
    """
    page = open_page(stream)
    chain = f" {page.glyphs.arrow} extends ".join(escape(file) for file in files)
    page.line(Text.assemble(("configuration: ", "bold"), chain or "no file"))
    page.line()
    keys = max(len(setting.key) for setting in settings)
    values = [_shown(setting.value) for setting in settings]
    width = min(max(len(value) for value in values), _WIDEST_VALUE)
    for setting, value in zip(settings, values, strict=True):
        style = "dim" if setting.is_default else ""
        line = Text.assemble((f"  {setting.key:<{keys}}  ", style or "bold"), (f"{value:<{width}}", style))
        page.line(line.append(f"  {escape(setting.origin)}", "dim" if setting.is_default else "cyan"))


def print_settings_json(settings: Sequence[Described], files: Sequence[str], stream: IO[str]) -> None:
    """Print the same as one JSON object."""
    document = {
        "version": fields.VERSION,
        "files": list(files),
        "settings": {each.key: {"value": each.value, "origin": each.origin} for each in settings},
    }
    stream.write(fields.dump(document, indent=2) + "\n")


def _shown(value: Any) -> str:
    return "not set" if value is None else escape(json.dumps(value, ensure_ascii=False))
