"""Read a row's own suppression: `"sqsd_lint": {"ignore": ["SQSD101"], "reason": "..."}`.

The field is no part of the training content, so it changes no fingerprint. It may come from strangers: what
is wrong with it is kept with it, and silences nothing. Which codes there are is checked in `rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from sqsd_lint.common.formats import ACCEPTABLE_RULES, FieldError, JsonModel, read_as, text_like
from sqsd_lint.samples.values import Malformed, from_json_text, is_missing
from sqsd_lint.types import Suppression

COLUMN = "sqsd_lint"
FORM = '{"ignore": ["SQSD101"], "reason": "why"}'

RuleCode = Annotated[
    str, Meta(extra={"expected": "the code of a rule"}, extra_json_schema={"enum": ACCEPTABLE_RULES})
]


class SuppressionFields(JsonModel, frozen=True):
    """What a row, or an entry of the suppressions file, says.

    Attributes:
        ignore: the rules whose findings about the row are accepted, whole codes.
        reason: why the row stays as it is.
    """

    # More than there are rules, and more than anybody writes to explain one row.
    ignore: Annotated[
        tuple[RuleCode, ...],
        Meta(min_length=1, max_length=32, extra={"expected": "a list of 1 to 32 codes of rules"}),
    ]
    reason: Annotated[str, text_like(r"\S", "a reason of at most 2,000 characters", max_length=2000)]


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
    try:
        return accepted_by(read_as(SuppressionFields, value, whole="the field"))
    except FieldError as fault:
        return _refused(f"{fault}; write {FORM}")


def accepted_by(fields: SuppressionFields) -> Suppression:
    """Return the suppression that the fields make, each code once."""
    return Suppression(tuple(dict.fromkeys(fields.ignore)), fields.reason.strip())


def _refused(fault: str) -> RefusedSuppression:
    return RefusedSuppression((), "", fault)
