"""What brings a row under a threshold: parts of its answer to leave out, scored and not only estimated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sqsd_lint.explain.attributed import Attributed
from sqsd_lint.explain.model import Remedy, Span, Spans
from sqsd_lint.samples import fingerprint
from sqsd_lint.types import Encoded, Sample, Threshold

if TYPE_CHECKING:
    from sqsd_lint.encode.alignment import Place

# How many parts may go: beyond that the row is better removed.
_AT_MOST = 8

Piece = tuple[Encoded, "Sequence[Place | None]"]
"""An encoded row or part, and the place of each of its tokens."""

Rate = Callable[[Sequence[Encoded]], list[float]]
"""What thresholds are compared with, of encoded rows, in order."""


def find_remedy(
    one: Attributed,
    sentences: Spans,
    words: Spans,
    threshold: Threshold,
    rate: Rate,
    encode: Callable[[Sample], Sequence[Encoded]],
    percentile: Callable[[float], float] | None = None,
    risk: Callable[[float, int], float] = lambda score, tokens: score,
    pieces: Sequence[Piece] = (),
) -> Remedy | None:
    """Return the smallest number of parts, the largest shares first, that brings the row under a threshold.

    Each step is scored as it is: the row with those parts' tokens masked (their labels gone, their text
    still read), and the one that is chosen also with them cut out of the text.

    Args:
        sentences, words: the parts to choose from: sentences, or words where there is only one sentence.
        rate: scores rows.
        encode: encodes a sample, in windows where it is longer than a sequence; nothing if nothing of it can
            be scored.
        risk: places a score (SQSD and harm) among those of benign answers of so many tokens.
        pieces: what else of the row is judged, in which the same tokens are masked.

    Returns:
        None if the answer has no part that could go.
    """
    parts = sentences.parts if len(sentences.parts) > 1 else words.parts
    ranked = sorted((p for p in parts if p.share.combined > 0), key=lambda p: -p.share.combined)[:_AT_MOST]
    ranked = ranked[: len(parts) - 1]  # something has to stay
    if not ranked:
        return None
    trials = [masked(one.encoded, one.places, ranked[:count]) for count in range(1, len(ranked) + 1)]
    if pieces:
        scores = _until_under(one, ranked, threshold, rate, pieces)
    else:
        elsewhere = [risk(score, tokens) for score, tokens in one.others]
        scores = [max(score, *elsewhere) if elsewhere else score for score in rate(trials)]
    under = [i for i, score in enumerate(scores) if score < threshold.value]
    best = under[0] if under else min(range(len(scores)), key=scores.__getitem__)
    chosen = ranked[: best + 1]
    total = sum(share.combined for share in (sentences.prompt, sentences.other, *(p.share for p in parts)))
    left = total - sum(part.share.combined for part in chosen)
    rest = encode(without(one.sample, chosen))
    removed = max(rate(rest)) if rest else None
    return Remedy(
        threshold=threshold,
        parts=tuple(chosen),
        estimate=risk(left, trials[best].response_tokens),
        masked=scores[best],
        removed=removed,
        masked_percentile=percentile(scores[best]) if percentile else None,
        removed_percentile=percentile(removed) if percentile and removed is not None else None,
        enough=bool(under),
    )


def _until_under(
    one: Attributed, ranked: Sequence[Span], threshold: Threshold, rate: Rate, pieces: Sequence[Piece]
) -> list[float]:
    """Return the highest risk of all pieces with one span masked, with two, and so on until it is low."""
    scores: list[float] = []
    for count in range(1, len(ranked) + 1):
        rows = [masked(*piece, ranked[:count]) for piece in ((one.encoded, one.places), *pieces)]
        scores.append(max(rate([row for row in rows if row.response_tokens])))
        if scores[-1] < threshold.value:
            break
    return scores


def masked(encoded: Encoded, places: Sequence[Place | None], parts: Sequence[Span]) -> Encoded:
    """Return the row with the tokens that begin in `parts` read, but not trained on."""
    labels = tuple(
        -100 if place and any(_begins_in(place, part) for part in parts) else label
        for label, place in zip(encoded.labels, places, strict=True)
    )
    return replace(encoded, labels=labels, response_tokens=sum(label != -100 for label in labels))


def without(sample: Sample, parts: Sequence[Span]) -> Sample:
    """Return the sample with `parts` cut out of its messages."""
    messages = list(sample.messages)
    for part in sorted(parts, key=lambda p: p.start, reverse=True):
        message = messages[part.message]
        text = message.content[: part.start] + message.content[part.end :]
        messages[part.message] = replace(message, content=text)
    return replace(
        sample, messages=tuple(messages), fingerprint=fingerprint(messages, sample.mask, sample.tools)
    )


def _begins_in(place: Place, part: Span) -> bool:
    return place.turn == part.message and part.start <= place.start < part.end
