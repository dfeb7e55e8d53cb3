"""Rule packs: which rules are on, how much each weighs, where the lines lie."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqsd_lint.config.validate import nearest, validate
from sqsd_lint.errors import ConfigError, UsageError
from sqsd_lint.resources import rules_dir
from sqsd_lint.types import Severity

# A pack may come with a pull request; nobody writes a megabyte of rules by hand.
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PackRule:
    """A rule's entry in a pack; only the rules that draw a line have a threshold."""

    severity: Severity
    threshold: str | None = None


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
    document = _read_untrusted(path, name)
    validate(document, "rules", source=name)
    return _pack(name, document)


def _pack(name: str, document: Mapping[str, Any]) -> Pack:
    rules = {
        code: PackRule(Severity(entry["severity"]), str(entry["threshold"]) if "threshold" in entry else None)
        for code, entry in document["rules"].items()
    }
    return Pack(name, rules)


def _read_untrusted(path: Path, name: str) -> Any:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise ConfigError(f"{name}: larger than {_MAX_BYTES:,} bytes, too large for a rule pack")
        return json.loads(data.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except OSError as fault:
        raise ConfigError(f"{name}: cannot be read: {fault.strerror}") from None
    except (ValueError, RecursionError) as fault:
        raise ConfigError(
            f"{name}: not a JSON rule pack: {fault}", hint="See `rules/schemas/rules.schema.json`."
        ) from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses a key given twice: a reviewer reads the first, JSON keeps the last."""
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!a} is given twice")
    return table
