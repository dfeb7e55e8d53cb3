"""Parts of answers: small windows that lie within one turn and leave nothing out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqsd_lint.encode import Encoder
from sqsd_lint.encode.windows import IGNORE, PART, PART_CONTEXT, PART_OVERLAP, parts
from sqsd_lint.types import AnswerPart
from tests.encode.test_encoder import sample
from tests.encode.test_encoder_properties import byte_tokenizer, hostile
from tests.encode.test_windows import numbered, rows
from tests.tiny_tokenizer import KINDS


def turns_of(counts: list[bool]) -> list[range]:
    """The runs of trained positions; the first token of a row never counts."""
    found: list[range] = []
    for i, counted in enumerate(counts):
        if not counted or not i:
            continue
        if found and found[-1].stop == i:
            found[-1] = range(found[-1].start, i + 1)
        else:
            found.append(range(i, i + 1))
    return found


@given(rows())
def test_parts_hold_every_trained_token_and_none_crosses_a_turn(row: tuple[list[bool], int]) -> None:
    counts, _ = row
    turns = turns_of(counts)
    found = numbered(parts(range(len(counts)), counts))
    trained = [i for turn in turns for i in turn]
    seen: set[int] = set()
    for number, part in enumerate(found, 1):
        own = [label for label in part.labels if label != IGNORE]
        assert 0 < len(own) == part.response_tokens <= PART
        assert len(part.ids) <= PART + PART_CONTEXT
        assert part.labels[0] == IGNORE
        window = part.window
        assert isinstance(window, AnswerPart)
        assert (window.number, window.count, window.tokens) == (number, len(found), len(trained))
        assert trained[window.start : window.end] == own
        assert set(own) <= set(turns[window.turn - 1])
        seen.update(own)
    assert seen == set(trained)


@given(rows(), st.data())
def test_a_passage_as_long_as_the_overlap_is_whole_in_one_part(
    row: tuple[list[bool], int], data: st.DataObject
) -> None:
    counts, _ = row
    turn = data.draw(st.sampled_from(turns_of(counts)))
    begin = data.draw(st.integers(turn.start, max(turn.start, turn.stop - PART_OVERLAP)))
    passage = set(range(begin, min(turn.stop, begin + PART_OVERLAP)))
    assert any(passage <= set(part.labels) for part in numbered(parts(range(len(counts)), counts)))


@pytest.mark.parametrize(("tokens", "expected"), [(1, 1), (PART, 1), (PART + 1, 2), (2 * PART, 3)])
def test_a_short_answer_is_one_part(tokens: int, expected: int) -> None:
    counts = [False] * 10 + [True] * tokens
    assert len(parts(range(len(counts)), counts)) == expected


def test_a_part_is_read_after_what_stands_before_its_turn() -> None:
    counts = [False] * 30 + [True] * 20 + [False] * 100 + [True] * 20
    first, second = numbered(parts(range(170), counts))
    assert list(first.ids) == list(range(50))
    assert list(second.ids) == list(range(170 - PART - PART_CONTEXT, 170))
    with_bos = numbered(parts(range(170), counts, head=1))
    assert list(with_bos[1].ids) == [0, *range(170 - PART - PART_CONTEXT + 1, 170)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("long_answers", ["cut", "windows"])
@settings(max_examples=20)
@given(turns=st.lists(st.tuples(hostile, hostile), min_size=1, max_size=3), max_length=st.integers(16, 90))
def test_parts_of_a_sample_are_what_of_it_was_scored(
    kind: str, long_answers: str, turns: list[tuple[str, str]], max_length: int
) -> None:
    row = sample(*[m for user, answer in turns for m in (("user", user), ("assistant", answer))])
    chars = byte_tokenizer(kind)
    encoder = Encoder(chars, max_length=max_length, long_answers=long_answers)  # type: ignore[arg-type]
    whole, found = encoder.encode_parts(row), encoder.answer_parts(row)
    assert [encoded for encoded, _ in encoder.locate_answer_parts(row)] == found
    windows = [part.window for part in found if part.window]
    last = whole[-1].window
    scored = last.end if last else whole[0].response_tokens
    assert max(window.end for window in windows) == {window.tokens for window in windows}.pop() == scored


@settings(max_examples=25)
@given(turns=st.lists(st.tuples(hostile, hostile), min_size=1, max_size=3))
def test_places_of_parts_are_those_of_the_row(turns: list[tuple[str, str]]) -> None:
    row = sample(*[m for user, answer in turns for m in (("user", user), ("assistant", answer))])
    encoder = Encoder(byte_tokenizer("chatml"), max_length=100_000)
    (whole, places), *_ = encoder.locate_parts(row)
    wanted = {p for p, label in zip(places, whole.labels, strict=True) if p and label != IGNORE}
    found = {
        place
        for encoded, own in encoder.locate_answer_parts(row)
        for place, label in zip(own, encoded.labels, strict=True)
        if place and label != IGNORE
    }
    assert found == wanted
