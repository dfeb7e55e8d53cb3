"""JSON values out of text, by the standard library's C scanner, with what it lets pass made visible.

The scanner takes the last of two equal keys, where other parsers take the first: a row could show one
answer here and another to a trainer. It also takes any depth. Both are faults of a row. NaN and Infinity
are no JSON, but Python writes them and trainers read them: they are let through.

Numbers are converted here and nowhere else: what comes out is a float, or an integer that a float can hold,
so that nothing behind fails on one. An integer beyond that, such as an id of a thousand digits, stays as
text.
"""

from __future__ import annotations

import json
from json import JSONDecodeError
from typing import Any

# Every integer of so many digits is below the largest float, 1.8e308. They are also fewer than the 640 that
# Python converts at the least, whatever the settings of the process.
_MAX_DIGITS = 308
_FOUND = 12


class Decoder:
    """Decodes JSON values one after another and collects the faults of the last one."""

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self._faults: list[str] = []
        self._json = json.JSONDecoder(object_pairs_hook=self._object, parse_int=integer)

    def decode(self, text: str) -> tuple[Any, str]:
        """Return the value of a whole text and its fault, "" when it is sound.

        Raises:
            JSONDecodeError: the text is not one JSON value.
            RecursionError: nested beyond what the interpreter takes.
        """
        self._faults.clear()
        value = self._json.decode(text)
        return value, self._fault(value, text, 0, len(text))

    def scan(self, text: str, start: int) -> tuple[Any, int, str]:
        """Return the value that starts at `start`, where it ends, and its fault.

        Raises:
            JSONDecodeError, RecursionError: as `decode`.
        """
        self._faults.clear()
        value, end = self._json.raw_decode(text, start)
        return value, end, self._fault(value, text, start, end)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            seen: set[str] = set()
            key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            self._faults.append(
                f"the key {key[:40]!r} appears twice, and parsers differ in which one they take"
            )
        return value

    def _fault(self, value: Any, text: str, start: int, end: int) -> str:
        if self._faults:
            return self._faults[0]
        # Counting brackets is cheap and settles almost every row: depth cannot exceed their number.
        if text.count("[", start, end) + text.count("{", start, end) <= self._max_depth:
            return ""
        return too_deep(self._max_depth) if deeper_than(value, self._max_depth) else ""


def integer(digits: str) -> int | str:
    """Return the integer that JSON digits write, the digits themselves where no float could hold it."""
    return int(digits) if len(digits) <= _MAX_DIGITS or len(digits.lstrip("-")) <= _MAX_DIGITS else digits


def too_deep(max_depth: int) -> str:
    return f"nested deeper than max_depth ({max_depth} levels)"


def deeper_than(value: Any, depth: int) -> bool:
    """Return whether lists and dicts nest in more than `depth` levels, level by level without recursion."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(depth):
        if not level:
            return False
        children = [child for node in level for child in (node.values() if isinstance(node, dict) else node)]
        level = [child for child in children if isinstance(child, (dict, list))]
    return bool(level)


def not_json(error: JSONDecodeError, *, line: int, column: int) -> str:
    """Return what was expected, what was found instead, and where (both counted from 1)."""
    found = error.doc[error.pos : error.pos + _FOUND].strip()
    what = error.msg[:1].lower() + error.msg[1:].removesuffix(" starting at").removesuffix(" at")
    return f"not JSON at line {line}, column {column}: {what}, found {repr(found) if found else 'the end'}"
