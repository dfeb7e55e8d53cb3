"""Where tokens stand in the words of a sample's messages, whatever a chat template made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqsd_lint.types import Sample

Span = tuple[int, int]


class Place(NamedTuple):
    """Characters `start` to `end` (code points, as Python counts them) of the content of message `turn`.

    A character of several tokens is the place of each of them.
    """

    turn: int
    start: int
    end: int


class _Alignment(NamedTuple):
    """Characters lo to hi of the rendered text are the content's own, `shift` characters further on."""

    turn: int
    lo: int
    hi: int
    shift: int


def places(
    sample: Sample, text: str, spans: Mapping[int, Span], offsets: Sequence[Span], end_of_turn: str
) -> list[Place | None]:
    """Return the place of each token of a rendered sample.

    Args:
        text: the rendered conversation.
        spans: turn -> the characters of `text` that are its answer and what closes it.
        offsets: each token's characters of `text`, negative where they are not known.

    Returns:
        None for a token of the prompt, of the end-of-turn, or of what only the template wrote.
    """
    known = [
        found
        for turn, span in sorted(spans.items(), key=lambda item: item[1])
        if (found := _align(sample.messages[turn].content, turn, text, span, end_of_turn))
    ]
    result: list[Place | None] = []
    at = before = 0
    for start, end in offsets:
        # Some tokenizers leave blanks out of their offsets; a token of blanks alone is then empty.
        if 0 <= before < start:
            start = before
        before = end
        end = max(end, start + 1) if start >= 0 else end
        while at < len(known) and known[at].hi <= start:
            at += 1
        place = None
        if at < len(known):
            turn, lo, hi, shift = known[at]
            first, last = max(start, lo), min(end, hi)
            if first < last:
                place = Place(turn, first + shift, last + shift)
        result.append(place)
    return result


def _align(content: str, turn: int, text: str, span: Span, end_of_turn: str) -> _Alignment | None:
    """Return where a message's content stands in its span: whole, trimmed, or (thoughts dropped) in part."""
    begin, end = span
    for words in filter(None, (content, content.strip())):
        lo = text.find(words, begin, end)
        if lo >= 0:
            return _Alignment(turn, lo, lo + len(words), content.index(words) - lo)
    words = text[begin:end].removesuffix(end_of_turn).strip()
    at = content.rfind(words) if words else -1
    if at < 0:
        return None
    lo = text.index(words, begin, end)
    return _Alignment(turn, lo, lo + len(words), at - lo)
