"""Values of a row's columns and messages as text."""

from __future__ import annotations

from typing import Any

from sqsd_lint.read.decode import Decoder

# A JSON text inside a CSV cell or a string column has the same bounds as a row of its own.
_MAX_DEPTH = 64


class Malformed(Exception):
    """The row fits no schema, or not the one it seems to have. `to_sample` turns it into SQSD303."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def is_missing(value: Any) -> bool:
    """None, or the NaN that pandas writes in its place."""
    return value is None or (isinstance(value, float) and value != value)


def as_text(value: Any, what: str) -> str:
    """The text of a value: numbers and booleans as Python prints them, a missing one as "".

    Raises:
        Malformed: an array, an object or binary data; `what` names the place in the message.
    """
    if type(value) is str:
        return value
    if is_missing(value):
        return ""
    if isinstance(value, (bool, int, float)):
        return str(value)
    raise Malformed(f"{what} holds {kind_of(value)}, where text was expected")


def from_json_text(value: Any, what: str) -> Any:
    """A value that may come as JSON text, as CSV cells and string columns hold it, decoded.

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
    """What a value is, in the words of JSON."""
    if isinstance(value, (list, tuple)):
        return "an array"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (bytes, bytearray)):
        return "binary data"
    names = {str: "a string", bool: "a boolean", int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), f"a {type(value).__name__}")


def quoted(names: Any, most: int = 12) -> str:
    """Names for a message, cut so that a hostile row cannot flood it."""
    shown = [repr(str(name)[:40]) for name in list(names)[:most]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "") if shown else "none"
