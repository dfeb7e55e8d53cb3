"""The row's own word on its findings: `"sqsd_lint": {"ignore": ["SQSD101"], "reason": "..."}`.

The field is no part of the training content, so it changes no fingerprint. It may come from strangers: what
is wrong with it is kept beside it, and silences nothing. Which codes there are is known to `judge` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqsd_lint.samples.values import Malformed, from_json_text, is_missing, kind_of
from sqsd_lint.types import Suppression

COLUMN = "sqsd_lint"
FORM = '{"ignore": ["SQSD101"], "reason": "why"}'

# More than there are rules, and more than anybody writes to explain one row.
_MOST_CODES = 32
_MOST_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class RefusedSuppression(Suppression):
    """A suppression that silences nothing.

    Attributes:
        fault: what is wrong with it. May quote hostile text: escape before display.
    """

    fault: str = ""


def read_suppression(raw: Mapping[str, Any]) -> Suppression | None:
    """Return the suppression in a row, None without one.

    A CSV file holds it as JSON text; a Parquet file fills the rows that have none with nulls.
    """
    value = raw.get(COLUMN)
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            value = from_json_text(value, "it")
        except Malformed:
            return _refused(f"its text is not JSON, expected {FORM}")
    if is_missing(value) or (isinstance(value, dict) and value and all(map(is_missing, value.values()))):
        return None
    return parse_suppression(value)


def parse_suppression(value: Any) -> Suppression:
    """Return the suppression in a decoded JSON or TOML value; a RefusedSuppression if it is none."""
    if not isinstance(value, dict):
        return _refused(f"it is {kind_of(value)}, expected {FORM}")
    unknown = next((key for key in value if key not in ("ignore", "reason")), None)
    if unknown is not None:
        return _refused(f"it has the unknown key {str(unknown)[:40]!a}, expected {FORM}")
    codes, reason = value.get("ignore"), value.get("reason")
    if not isinstance(codes, list) or not codes or not all(isinstance(code, str) for code in codes):
        return _refused(f'"ignore" is no list of rules, expected {FORM}')
    if len(codes) > _MOST_CODES:
        return _refused(f'"ignore" names {len(codes)} rules, expected {_MOST_CODES} at most')
    if not isinstance(reason, str) or not reason.strip():
        return _refused(f'it gives no "reason", expected {FORM}')
    if len(reason) > _MOST_CHARACTERS:
        return _refused(f'its "reason" has {len(reason):,} characters, expected {_MOST_CHARACTERS:,} at most')
    return Suppression(tuple(dict.fromkeys(codes)), reason.strip())


def _refused(fault: str) -> RefusedSuppression:
    return RefusedSuppression((), "", fault)
