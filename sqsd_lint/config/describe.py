"""Every setting with its value and where that came from, in the order of the schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqsd_lint.config.settings import Resolved
from sqsd_lint.resources import load_schema

_NO_SETTINGS = ("$schema", "extend")


@dataclass(frozen=True, slots=True)
class Described:
    """One setting.

    Attributes:
        key: as a configuration file spells it.
        value: of JSON's types; None where it is not set.
        origin: as in `Resolved.origins`.
    """

    key: str
    value: Any
    origin: str

    @property
    def is_default(self) -> bool:
        return self.origin == "default"


def describe(resolved: Resolved) -> list[Described]:
    """The settings that a configuration file can hold."""
    described = []
    for key in load_schema("config")["properties"]:
        if key in _NO_SETTINGS:
            continue
        field = key.replace("-", "_")
        value = getattr(resolved.settings, field)
        if key == "bundle":
            value = resolved.settings.opinions or value
        described.append(Described(key, _plain(value), resolved.origins[field]))
    return described


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value
