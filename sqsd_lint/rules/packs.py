"""Rule packs: which rules are on, how much each weighs, where the lines lie."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqsd_lint.common.schema import nearest, validate
from sqsd_lint.common.strict_json import load_json, read_limited
from sqsd_lint.errors import UsageError
from sqsd_lint.resources import rules_dir
from sqsd_lint.types import Severity

# A pack may come with a pull request; nobody writes a megabyte of rules by hand.
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PackRule:
    """A rule's entry in a pack; each option belongs to some rules only.

    Attributes:
        threshold: where the line of SQSD101 or SQSD102 lies.
        budget: the largest drift of a file (SQSD201), in the unit of `Score.drift`.
        significance: the largest p-value that is a finding (SQSD202).
        min_rows: fewer rows at or above the warning line are no finding (SQSD202).
    """

    severity: Severity
    threshold: str | None = None
    budget: float = math.inf
    significance: float = 0.0
    min_rows: int = 1


@dataclass(frozen=True, slots=True)
class Pack:
    """A rule pack; a rule that it does not hold is off."""

    name: str
    rules: Mapping[str, PackRule]


def embedded_packs() -> tuple[str, ...]:
    """Names of the packs that ship with sqsd-lint."""
    return tuple(sorted(path.stem for path in rules_dir().glob("*.json")))


def load_pack(name: str, *, cwd: Path | None = None) -> Pack:
    """Loads an embedded pack by name, or a JSON file by path.

    Embedded packs are trusted (a test validates them); files are validated by `rules.schema.json`.

    Args:
        cwd: the folder that a relative path starts from; the working directory if not given.

    Raises:
        UsageError: there is no such pack.
        ConfigError: the file is not a valid pack.
    """
    if name in embedded_packs():
        return _pack(name, json.loads((rules_dir() / f"{name}.json").read_text(encoding="utf-8")))
    path = (cwd or Path()) / Path(name).expanduser()
    if not path.is_file():
        match = nearest(name, embedded_packs())
        raise UsageError(
            f"no rule pack {name!a}: neither an embedded one ({', '.join(embedded_packs())}) nor a file",
            hint=f"Did you mean {match}?" if match else "Give --rules a pack's name or a JSON file.",
        )
    return parse_pack(read_limited(path, name, _MAX_BYTES), name=name)


def parse_pack(data: bytes, *, name: str) -> Pack:
    """A rule pack from the content of a JSON file, validated by `rules.schema.json`.

    Raises:
        ConfigError: it is not a valid pack.
    """
    document = load_json(data, name, "a JSON rule pack", hint="See `rules/schemas/rules.schema.json`.")
    validate(document, "rules", source=name)
    return _pack(name, document)


def _pack(name: str, document: Mapping[str, Any]) -> Pack:
    return Pack(name, {code: _rule(entry) for code, entry in document["rules"].items()})


def _rule(entry: Mapping[str, Any]) -> PackRule:
    return PackRule(
        Severity(entry["severity"]),
        str(entry["threshold"]) if "threshold" in entry else None,
        float(entry.get("budget", math.inf)),
        float(entry.get("significance", 0.0)),
        int(entry.get("min-rows", 1)),
    )
