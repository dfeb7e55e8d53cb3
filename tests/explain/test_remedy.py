from __future__ import annotations

from collections.abc import Sequence

from sqsd_lint.encode.alignment import Place
from sqsd_lint.explain.attributed import Attributed
from sqsd_lint.explain.model import Remedy, Share, Span, Spans
from sqsd_lint.explain.remedy import find_remedy, masked, without
from sqsd_lint.samples import fingerprint
from sqsd_lint.types import Encoded, Message, Sample, Score, Threshold, Where

TEXT = "Aa. Bb. Cc."
MESSAGES = (Message("user", "q"), Message("assistant", TEXT))
SAMPLE = Sample("0" * 32, MESSAGES, (False, True), Where("a.jsonl", 1, 0))
# Two tokens of prompt, three sentences of one token each, the end-of-turn.
PLACES = [None, None, Place(1, 0, 3), Place(1, 3, 7), Place(1, 7, 11), None]
ENCODED = Encoded((1, 2, 3, 4, 5, 6), (-100, -100, 3, 4, 5, 6), response_tokens=4)
LINE = Threshold("p99", 4.0)
WORTH = {3: 3.0, 4: 1.0, 5: -1.0, 6: 0.5}


def spans(*worths: float) -> Spans:
    places = [p for p in PLACES if p]
    parts = (Span(*p, 1, Share(w)) for p, w in zip(places, worths, strict=True))
    return Spans(tuple(parts), Share(2.0), Share(0.5))


def rate(rows: Sequence[Encoded]) -> list[float]:
    """A score in which tokens do not see one another: what is masked takes most of its worth along."""
    return [2.4 + sum(0.9 * WORTH[label] for label in row.labels if label != -100) for row in rows]


def find(sentences: Spans, line: Threshold = LINE, answer: Encoded | None = ENCODED) -> Remedy | None:
    score = Score("0" * 32, 5.5, 0.0, 5.5, 4)
    one = Attributed(SAMPLE, ENCODED, PLACES, score, sentences, ())
    whole = [answer] if answer else []
    return find_remedy(one, sentences, sentences, line, rate, lambda sample: whole, lambda score: 10 * score)


def test_the_fewest_parts_that_are_enough() -> None:
    found = find(spans(3.0, 1.0, -1.0))
    assert found is not None
    assert [p.start for p in found.parts] == [0]
    assert found.estimate == 2.5
    assert found.masked == rate([masked(ENCODED, PLACES, found.parts)])[0] < LINE.value
    assert found.masked_percentile == 10 * found.masked
    assert found.enough
    assert found.removed == rate([ENCODED])[0]


def test_where_no_part_is_enough_the_best_is_shown_and_said_so() -> None:
    found = find(spans(3.0, 1.0, -1.0), Threshold("1", 1.0))
    assert found is not None
    assert not found.enough
    assert [p.start for p in found.parts] == [0, 3]


def test_something_stays_of_the_answer() -> None:
    found = find(spans(3.0, 1.0, 1.0), Threshold("1", -100.0))
    assert found is not None
    assert len(found.parts) == 2


def test_parts_that_lower_the_score_are_never_left_out() -> None:
    assert find(spans(-1.0, -2.0, 0.0)) is None


def test_nothing_left_to_encode_is_no_score() -> None:
    found = find(spans(3.0, 1.0, -1.0), answer=None)
    assert found is not None
    assert found.removed is found.removed_percentile is None


def test_masking_takes_labels_and_nothing_else() -> None:
    parts = [p for p in spans(1, 1, 1).parts if p.start == 3]
    found = masked(ENCODED, PLACES, parts)
    assert found.ids == ENCODED.ids
    assert found.labels == (-100, -100, 3, -100, 5, 6)
    assert found.response_tokens == 3


def test_cutting_out_changes_the_text_and_so_the_fingerprint() -> None:
    found = without(SAMPLE, [spans(1, 1, 1).parts[i] for i in (0, 2)])
    assert found.messages[1].content == " Bb."
    assert found.messages[0] == MESSAGES[0]
    assert found.fingerprint == fingerprint(found.messages, found.mask) != SAMPLE.fingerprint
