"""Every setting with its value and where that came from, in the order of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqsd_lint.config.settings import TABLE, Resolved
from sqsd_lint.config.table import Table


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


def describe(resolved: Resolved, table: Table = TABLE) -> list[Described]:
    """Return the settings that a configuration file can hold."""
    described = []
    for key, setting in table.by_key.items():
        value = getattr(resolved.settings, setting.name)
        if key == "bundle":
            value = resolved.settings.opinions or value
        described.append(Described(key, _plain(value), resolved.origins[setting.name]))
    return described


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value
