"""Rule packs: which rules are on, how much each weighs, where the thresholds lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqsd_lint.common.schema import nearest, validate
from sqsd_lint.common.strict_json import load_json, read_limited
from sqsd_lint.errors import UsageError
from sqsd_lint.rules.registry import RULES
from sqsd_lint.rules.rule import Rule
from sqsd_lint.types import Severity

EMBEDDED = {
    "default": "One false alarm in 1,000 benign rows fails the run; one in 100 is shown.",
    "strict": "One false alarm in 100 benign rows fails the run, one in 20 is shown, and every response is "
    "scored whole.",
}
# A pack may come with a pull request; nobody writes a megabyte of rules by hand.
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PackRule:
    """A rule's entry in a pack; `options` are those that the rule declares."""

    severity: Severity
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pack:
    """A rule pack; a rule that it does not hold is off."""

    name: str
    rules: Mapping[str, PackRule]


def embedded_packs() -> tuple[str, ...]:
    """Return the names of the packs that ship with sqsd-lint."""
    return tuple(sorted(EMBEDDED))


def embedded_document(name: str) -> dict[str, Any]:
    """Return an embedded pack as its JSON file has it: made of what the rules say of themselves."""
    rules = {}
    for code, rule in RULES.items():
        entry = {"severity": rule.severity.value}
        entry |= {key: option.default for key, option in rule.options.items()}
        rules[code] = entry | (dict(rule.strict) if name == "strict" else {})
    return {"$schema": "schemas/rules.schema.json", "description": EMBEDDED[name], "rules": rules}


def load_pack(name: str, *, cwd: Path | None = None) -> Pack:
    """Load an embedded pack by name, or a JSON file by path, which `pack_schema` validates.

    Args:
        cwd: the folder that a relative path starts from; the working directory if not given.

    Raises:
        UsageError: there is no such pack.
        ConfigError: the file is not a valid pack.
    """
    if name in embedded_packs():
        return _pack(name, embedded_document(name))
    path = (cwd or Path()) / Path(name).expanduser()
    if not path.is_file():
        match = nearest(name, embedded_packs())
        raise UsageError(
            f"no rule pack {name!a}: neither an embedded one ({', '.join(embedded_packs())}) nor a file",
            hint=f"Did you mean {match}?" if match else "Give --rules a pack's name or a JSON file.",
        )
    return parse_pack(read_limited(path, name, _MAX_BYTES), name=name)


def parse_pack(data: bytes, *, name: str) -> Pack:
    """Read a rule pack from the content of a JSON file, which `pack_schema` validates.

    Raises:
        ConfigError: it is not a valid pack.
    """
    document = load_json(data, name, "a JSON rule pack", hint="See `rules/schemas/rules.schema.json`.")
    validate(document, pack_schema(), source=name)
    return _pack(name, document)


def _pack(name: str, document: Mapping[str, Any]) -> Pack:
    return Pack(name, {code: _rule(RULES[code], entry) for code, entry in document["rules"].items()})


def _rule(rule: Rule, entry: Mapping[str, Any]) -> PackRule:
    options = {key: option.convert(entry[key]) for key, option in rule.options.items()}
    return PackRule(Severity(entry["severity"]), options)


def pack_schema() -> dict[str, Any]:
    """Return the JSON Schema of rule packs, published as `rules.schema.json`: every rule with its options."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:sqsd-lint:schema:rules",
        "title": "sqsd-lint rule pack",
        "description": "Which rules are on, how much each weighs, and where the lines lie.",
        "type": "object",
        "additionalProperties": False,
        "required": ["rules"],
        "properties": {
            "$schema": {"type": "string", "description": "The address of this schema, for editors."},
            "description": {"type": "string", "description": "What the pack is for, in one sentence."},
            "rules": {
                "type": "object",
                "description": "The rules that are on; one that is not named is off.",
                "additionalProperties": False,
                "minProperties": 1,
                "properties": {code: _entry_schema(rule) for code, rule in RULES.items()},
            },
        },
        "$defs": {
            "severity": {
                "enum": [severity.value for severity in Severity],
                "description": "Errors fail the run; warnings are only shown.",
            }
        },
    }


def _entry_schema(rule: Rule) -> dict[str, Any]:
    return {
        "type": "object",
        "description": f"{rule.name}: {rule.summary}.",
        "additionalProperties": False,
        "required": ["severity", *rule.options],
        "properties": {
            "severity": {"$ref": "#/$defs/severity"},
            **{key: dict(option.schema) for key, option in rule.options.items()},
        },
    }
