from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.encode.alignment import Place
from sqsd_lint.explain.model import Share, Span, Spans, total
from sqsd_lint.explain.spans import UNITS, Unit, grouped, token_spans
from sqsd_lint.types import Message


def shares(count: int) -> list[Share]:
    return [Share(float(2**i), 0.0) for i in range(count)]


def test_bytes_of_one_character_are_one_span() -> None:
    places = [Place(1, 0, 2), Place(1, 1, 2), Place(1, 1, 2), Place(1, 2, 3)]
    spans = token_spans(places, shares(4), [True] * 4, Share())
    assert spans.parts == (Span(1, 0, 2, 3, Share(7.0)), Span(1, 2, 3, 1, Share(8.0)))


def test_only_trained_tokens_count_and_those_elsewhere_are_other() -> None:
    places = [Place(1, 0, 2), None, None, Place(1, 2, 3)]
    spans = token_spans(places, shares(4), [True, True, False, True], Share(0.5, 0.25))
    assert [p.share.danger for p in spans.parts] == [1.0, 8.0]
    assert spans.other == Share(2.0)
    assert spans.prompt == Share(0.5, 0.25)


def test_the_same_characters_of_two_messages_stay_apart() -> None:
    spans = token_spans([Place(1, 0, 2), Place(3, 0, 2)], shares(2), [True] * 2, Share())
    assert [(p.message, p.start) for p in spans.parts] == [(1, 0), (3, 0)]


def test_a_token_belongs_to_the_sentence_in_which_it_begins() -> None:
    messages = (Message("user", "?"), Message("assistant", "One. Two."))
    parts = tuple(Span(1, a, b, 1, Share(1.0)) for a, b in ((0, 3), (3, 6), (6, 9)))
    found = grouped(Spans(parts, Share(), Share()), messages, "sentence")
    assert [(p.start, p.end, p.tokens) for p in found.parts] == [(0, 6, 2), (6, 9, 1)]


@pytest.mark.parametrize("unit", UNITS)
@given(data=st.data(), text=st.text(min_size=1, max_size=60))
def test_grouping_loses_nothing(unit: Unit, data: st.DataObject, text: str) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text)), max_size=12)) | {len(text)})
    parts = tuple(
        Span(0, a, b, 1, Share(float(i + 1), -0.5 * i))
        for i, (a, b) in enumerate(zip([0, *cuts], cuts, strict=False))
    )
    spans = Spans(parts, Share(3.0), Share(1.0, 1.0))
    found = grouped(spans, (Message("text", text),), unit)
    assert total([p.share for p in found.parts]) == total([p.share for p in parts])
    assert sum(p.tokens for p in found.parts) == len(parts)
    assert (found.parts[0].start, found.parts[-1].end) == (0, len(text))
    assert all(a.end == b.start for a, b in zip(found.parts, found.parts[1:], strict=False))
    assert (found.prompt, found.other) == (spans.prompt, spans.other)
