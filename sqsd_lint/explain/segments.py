"""A text in words or sentences, without a dictionary: pieces that follow one another without gaps."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Literal, get_args

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
    """Pieces of `text` as (start, end). Blanks belong to the piece that follows, as tokenizers have it.

    Blanks at the end belong to the last piece.

    A sentence ends at its full stop or its line. "token" gives the whole text: tokens need no other border.
    """
    if not text:
        return []
    pattern = {"word": _WORD, "sentence": _SENTENCE_END}.get(unit)
    last = len(text.rstrip())
    ends = (m.end() for m in pattern.finditer(text)) if pattern else ()
    return list(pairwise(sorted({0, *(end for end in ends if end < last), len(text)})))
