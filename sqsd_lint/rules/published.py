"""The files of `rules/` that follow from the rules: packs, their schema, the codes in other schemas.

    python -m sqsd_lint.rules.published     writes them anew; a test fails where they are not up to date

Only these files are read by editors and by people. The program itself takes packs and their schema from the
registry; what the other schemas list is what it accepts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sqsd_lint.resources import rules_dir, schema_path
from sqsd_lint.rules.packs import embedded_document, embedded_packs, pack_schema
from sqsd_lint.rules.registry import RULES
from sqsd_lint.types import Severity

_CODES = re.compile(r'"enum": \[\s*"SQSD\d+"[^\]]*\]')
_SEVERITIES = re.compile(r'(?:^ +"SQSD\d+": \{\s*"enum": \[[^\]]*\]\s*\},?\n)+', re.M)


def published() -> Iterator[tuple[Path, str]]:
    """Yield each file with the text that it must have."""
    for name in embedded_packs():
        yield rules_dir() / f"{name}.json", _pack_text(embedded_document(name))
    yield schema_path("rules"), json.dumps(pack_schema(), indent=2) + "\n"
    accepted = sorted(RULES.acceptable)
    for name, codes in (("baseline", accepted), ("suppressions", accepted), ("config", RULES.unscored)):
        text = schema_path(name).read_text(encoding="utf-8")
        text = _CODES.sub(partial(_enum, codes=list(codes)), text)
        yield schema_path(name), _SEVERITIES.sub(_severities, text)


def _enum(found: re.Match[str], codes: list[str]) -> str:
    """Return the codes as an enum, on one line or on many as it was before."""
    if "\n" not in found[0]:
        return f'"enum": {json.dumps(codes)}'
    line = found.string[: found.start()].rpartition("\n")[2]
    return '"enum": ' + json.dumps(codes, indent=2).replace("\n", "\n" + line)


def _pack_text(document: dict[str, Any]) -> str:
    """Return a pack with a rule per line."""
    lines = [f'"{code}": {_inline(entry)}' for code, entry in document["rules"].items()]
    head = {key: value for key, value in document.items() if key != "rules"}
    return json.dumps(head, indent=2)[:-2] + f',\n  "rules": {{\n{_block(lines, 4)}\n  }}\n}}\n'


def _inline(entry: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in entry.items()) + "}"


def _severities(found: re.Match[str]) -> str:
    """Return what the configuration's schema holds of every rule, where it held it of some."""
    indent = len(found[0]) - len(found[0].lstrip())
    entry = {"enum": [severity.value for severity in Severity]}
    if found[0].count("\n") == found[0].count("SQSD"):  # a rule a line
        return _block([f'"{code}": {_inline(entry)}' for code in RULES], indent) + "\n"
    text = json.dumps(dict.fromkeys(RULES, entry), indent=2)[2:-2]
    return "".join(" " * (indent - 2) + line + "\n" for line in text.split("\n"))


def _block(lines: Iterable[str], indent: int) -> str:
    return ",\n".join(" " * indent + line for line in lines)


if __name__ == "__main__":
    for path, text in published():
        path.write_text(text, encoding="utf-8")
