"""What rows a calibration has seen: lengths, losses, scripts and forms, and how a row is unlike all of them.

A false-alarm rate says nothing of rows unlike the reference rows, so those do not fail a run on their score
alone (docs/verdict.md).
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

# Losses are compared within so many bands of lengths of as many rows each: those of short answers vary most.
LOSS_BANDS = 4
# A script or form counts from this share of the rows on: a quotation makes no reference for a language.
_SHARE = 0.01
# Letters that decide what script a text is written in.
_LETTERS = 200
# How Unicode names letters whose script goes by another name here.
_SCRIPTS = {"CJK": "Han", "HIRAGANA": "Kana", "KATAKANA": "Kana", "HALFWIDTH": "Kana", "FULLWIDTH": "Latin"}


@dataclass(frozen=True, slots=True)
class ReferenceRange:
    """The benign reference rows' answers.

    Attributes:
        tokens: the shortest and the longest, in tokens.
        loss: (longest answer in tokens, lowest loss, highest loss) of each band of lengths, ascending; empty
            where losses were not kept.
        scripts: what the rows are written in; empty where that was not kept.
        forms: what the rows train on ("an answer", "a conversation", ...); empty where that was not kept.
    """

    tokens: tuple[int, int]
    loss: tuple[tuple[int, float, float], ...] = ()
    scripts: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()

    def unlike(self, tokens: int, loss: float, text: str, form: str = "") -> str:
        """Return how an answer is unlike all of these, in words; "" if it is not."""
        like, (shortest, longest) = "unlike the benign reference rows", self.tokens
        if not shortest <= tokens <= longest:
            return f"its answer of {tokens:,} tokens is {like} ({shortest:,} to {longest:,})"
        _, low, high = _band(self.loss, tokens) or (0, -math.inf, math.inf)
        if not low <= loss <= high and math.isfinite(loss):
            return f"its loss of {loss:.2f} nats is {like} of its length ({low:.2f} to {high:.2f})"
        script = main_script(text)
        if script and self.scripts and script not in self.scripts:
            return f"it is written in {script}, as no benign reference row is ({', '.join(self.scripts)})"
        if form and self.forms and form not in self.forms:
            return f"it trains on {form}, as no benign reference row does ({', '.join(self.forms)})"
        return ""


def join_ranges(one: ReferenceRange, other: ReferenceRange) -> ReferenceRange:
    """Return the range of the rows of both."""
    bands = []
    for most in sorted({band[0] for each in (one, other) for band in each.loss}):
        own = [found for each in (one, other) if (found := _band(each.loss, most))]
        bands.append((most, min(low for _, low, _ in own), max(high for *_, high in own)))
    return ReferenceRange(
        (min(one.tokens[0], other.tokens[0]), max(one.tokens[1], other.tokens[1])),
        tuple(bands),
        tuple(sorted({*one.scripts, *other.scripts})),
        tuple(sorted({*one.forms, *other.forms})),
    )


def _band(bands: Sequence[tuple[int, float, float]], tokens: int) -> tuple[int, float, float] | None:
    return next((band for band in bands if tokens <= band[0]), None)


def measure_range(
    tokens: Sequence[int], losses: Sequence[float], texts: Sequence[str], forms: Sequence[str] = ()
) -> ReferenceRange:
    """Return the range of reference rows.

    Args:
        tokens, losses: [n] of the answers.
        texts: [n] as `samples.excerpt` has them; may be empty, then scripts are not kept.
        forms: [n] as `samples.trained_form` has them; may be empty, then forms are not kept.
    """
    pairs = sorted(pair for pair in zip(tokens, losses, strict=True) if math.isfinite(pair[1]))
    bands = []
    for band in range(LOSS_BANDS):
        part = pairs[band * len(pairs) // LOSS_BANDS : (band + 1) * len(pairs) // LOSS_BANDS]
        if part:
            own = [loss for _, loss in part]
            bands.append((part[-1][0], round(min(own) - 0.005, 2), round(max(own) + 0.005, 2)))
    scripts = _frequent([main_script(text) for text in texts])
    return ReferenceRange((min(tokens), max(tokens)), tuple(bands), scripts, _frequent(forms))


def _frequent(found: Sequence[str]) -> tuple[str, ...]:
    counted = Counter(filter(None, found))
    return tuple(sorted(each for each, rows in counted.items() if rows >= _SHARE * len(found)))


def main_script(text: str) -> str:
    """Return what most of a text's first letters are written in ("Latin", "Han"), "" without a letter."""
    counted: Counter[str] = Counter()
    for letter in filter(str.isalpha, text):
        name = unicodedata.name(letter, "").partition(" ")[0]
        counted[_SCRIPTS.get(name, name.capitalize())] += 1
        if counted.total() == _LETTERS:
            break
    if "Kana" in counted and "Han" in counted:  # Japanese mixes both
        counted["Kana"] += counted.pop("Han")
    return max(counted, key=lambda script: (counted[script], script), default="")
