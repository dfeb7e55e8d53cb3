"""Turn tokens into character spans of the answers, and small spans into larger ones.

A text in words or sentences, without a dictionary: pieces that follow one another without gaps.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, get_args

from sqsd_lint.explain.model import Share, Span, Spans, total
from sqsd_lint.types import Message

if TYPE_CHECKING:
    from sqsd_lint.encode.alignment import Place


Unit = Literal["token", "word", "sentence"]
UNITS: tuple[Unit, ...] = get_args(Unit)

# Scripts that are written without blanks: every character is a word.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}\U00020000-\U0003ffff]|[^\s{_UNSPACED}\U00020000-\U0003ffff]+")

_CLOSING = "[\"')\\]\u201d\u2019\u00bb*_`]*"
_SENTENCE_END = re.compile(
    # After two letters, three digits or a bracket: neither "e.g." nor "2." ends a sentence.
    rf"(?:(?<=[^\W\d_]{{2}})|(?<=\d{{3}})|(?<=[)\]\"'\u201d\u2019%`*]))[.!?\u2026]+{_CLOSING}(?=\s)"
    rf"|[\u3002\uff01\uff1f]+[\u300d\u300f\u201d\u2019)\uff09]*"
    r"|(?<=\S)(?=[^\S\n]*\n)"
)


def segments(text: str, unit: Unit) -> list[tuple[int, int]]:
    """Return pieces of `text` as (start, end). Blanks belong to the piece that follows, as tokenizers do it.

    Blanks at the end belong to the last piece.

    A sentence ends at its full stop or its line. "token" gives the whole text: tokens need no other border.
    """
    if not text:
        return []
    pattern = {"word": _WORD, "sentence": _SENTENCE_END}.get(unit)
    last = len(text.rstrip())
    ends = (m.end() for m in pattern.finditer(text)) if pattern else ()
    return list(pairwise(sorted({0, *(end for end in ends if end < last), len(text)})))


def token_spans(
    places: Sequence[Place | None], shares: Sequence[Share], trained: Sequence[bool], prompt: Share
) -> Spans:
    """Return one span per token; tokens that share a character (the bytes of one emoji) are one span.

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
    """Return spans of whole words or sentences; a token belongs to the one in which it begins."""
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
