"""Where rows stand in JSON Lines."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any

from sqsd_lint.fix.content import Opener
from sqsd_lint.fix.plan_types import Span
from sqsd_lint.read.decode import Decoder
from sqsd_lint.read.jsonl import numbered_lines

Take = Callable[[int, Any], None]
"""Called with the number and the value of a row that was asked for; the value is None where it is no row."""

_BLANK = b" \t\r\n"


def locate_lines(open_content: Opener, wanted: AbstractSet[int], take: Take) -> dict[int, Span]:
    """The spans of the wanted rows by number, their ends of line included.

    Raises:
        Unreadable, OSError, EOFError, zlib.error: the content cannot be read to its end.
    """
    found: dict[int, Span] = {}
    with open_content() as source:
        decode = Decoder(source.limits.max_depth).decode
        index = -1
        for _, offset, data, too_long in numbered_lines(source):
            if not data.strip(_BLANK) and not too_long:
                continue
            index += 1
            if index in wanted:
                take(index, None if too_long else _value(decode, data))
                start = offset - source.offset
                found[index] = Span(start, start + len(data), start, start + len(data))
    return found


def _value(decode: Callable[[str], tuple[Any, str]], data: bytes) -> Any:
    try:
        value, fault = decode(data.rstrip(b"\r\n").decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return None if fault else value
