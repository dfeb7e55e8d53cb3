"""Values of columns and messages as text, numbers and flags: whatever is untrusted is converted here."""

from __future__ import annotations

import math
from typing import Any

from sqsd_lint.read.decode import Decoder

# A JSON text inside a CSV cell or a string column has the same bounds as a row of its own.
_MAX_DEPTH = 64

_YES = frozenset(("true", "yes", "y", "t", "on", "1", "1.0"))
_NO = frozenset(("false", "no", "n", "f", "off", "0", "0.0"))


class Malformed(Exception):
    """The row fits no layout, or not the one it seems to have. `to_sample` turns it into SQSD303.

    Attributes:
        fold: what every row of a file with the same fault has in common: such rows are one finding. Empty
            where the fault is the row's own.
    """

    def __init__(self, message: str, *, hint: str = "", fold: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fold = fold


def is_missing(value: Any) -> bool:
    """Return whether a value is None, or the NaN that pandas writes in its place."""
    return value is None or (isinstance(value, float) and value != value)


def is_blank(value: Any) -> bool:
    """Return whether a value is missing, or empty as columnar formats and CSV fill a gap."""
    if isinstance(value, str):
        return not value or value.isspace()
    return is_missing(value) or (isinstance(value, (list, tuple, dict)) and not value)


def as_text(value: Any, what: str) -> str:
    """Return a value as text: numbers and booleans as Python prints them, a missing one as "".

    Raises:
        Malformed: an array, an object, binary data or a number too large to print; `what` names the place.
    """
    if type(value) is str:
        return value
    if is_missing(value):
        return ""
    if isinstance(value, (bool, int, float)):
        try:
            return str(value)
        except ValueError:  # Python prints no integer of more than some thousand digits
            raise Malformed(f"{what} holds a number of too many digits") from None
    raise Malformed(f"{what} holds {kind_of(value)}, where text was expected")


def as_number(value: Any) -> float | None:
    """Return an untrusted value as a finite number, None where it is none; text counts as what it spells."""
    if isinstance(value, str):
        value = value.strip()
        if len(value) > 40:  # no number that a flag or a weight has is as long
            return None
    elif not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_flag(value: Any) -> bool | None:
    """Return a yes or no as data sets write it: booleans, 1 and 0, "True", "no"; None for anything else."""
    if isinstance(value, str):
        text = value.strip().lower()
        return True if text in _YES else False if text in _NO else None
    number = as_number(value)
    return bool(number) if number in (0.0, 1.0) else None


def from_json_text(value: Any, what: str) -> Any:
    """Return a value that may come as JSON text, as CSV cells and string columns hold it, decoded.

    Raises:
        Malformed: text that is no sound JSON.
    """
    if type(value) is not str:
        return value
    try:
        decoded, fault = Decoder(_MAX_DEPTH).decode(value)
    except (ValueError, RecursionError):
        decoded, fault = None, "not JSON"
    if fault:
        raise Malformed(
            f"{what} holds text where an array was expected, and the text is no JSON array: {fault}"
        )
    return decoded


def kind_of(value: Any) -> str:
    """Return what a value is, in the words of JSON."""
    if isinstance(value, (list, tuple)):
        return "an array"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (bytes, bytearray)):
        return "binary data"
    names = {str: "a string", bool: "a boolean", int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), f"a {type(value).__name__}")


def quoted(names: Any, most: int = 12) -> str:
    """Return names for a message, cut so that a hostile row cannot flood it."""
    shown = [repr(str(name)[:40]) for name in list(names)[:most]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "") if shown else "none"
