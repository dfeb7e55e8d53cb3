"""From tokens to character spans of the answers, and from small spans to larger ones."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqsd_lint.explain.model import Share, Span, Spans, total
from sqsd_lint.explain.segments import Unit, segments
from sqsd_lint.types import Message

if TYPE_CHECKING:
    from sqsd_lint.encode.place import Place


def token_spans(
    places: Sequence[Place | None], shares: Sequence[Share], trained: Sequence[bool], prompt: Share
) -> Spans:
    """One span per token; tokens that share a character (the bytes of one emoji) are one span.

    Args:
        places, shares, trained: by token.
        prompt: the share of the positions that predict nothing trained on.
    """
    parts: list[Span] = []
    other: list[Share] = []
    for place, share, counts in zip(places, shares, trained, strict=True):
        if not counts:
            continue
        if place is None:
            other.append(share)
        elif parts and parts[-1].message == place.turn and place.start < parts[-1].end:
            last = parts.pop()
            end = max(last.end, place.end)
            parts.append(Span(place.turn, last.start, end, last.tokens + 1, last.share + share))
        else:
            parts.append(Span(*place, 1, share))
    return Spans(tuple(parts), prompt, total(other))


def grouped(spans: Spans, messages: Sequence[Message], unit: Unit) -> Spans:
    """Spans of whole words or sentences; a token belongs to the one in which it begins."""
    if unit == "token":
        return spans
    starts: dict[int, list[int]] = {}
    groups: dict[tuple[int, int], list[Span]] = {}
    for part in spans.parts:
        if part.message not in starts:
            content = messages[part.message].content
            starts[part.message] = [start for start, _ in segments(content, unit)]
        number = bisect_right(starts[part.message], part.start)
        groups.setdefault((part.message, number), []).append(part)
    return Spans(tuple(map(_joined, groups.values())), spans.prompt, spans.other)


def _joined(parts: list[Span]) -> Span:
    tokens = sum(part.tokens for part in parts)
    share = total([part.share for part in parts])
    return Span(parts[0].message, parts[0].start, parts[-1].end, tokens, share)
