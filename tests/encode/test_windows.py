"""Windows of answers longer than a sequence: nothing trained on is left out, and what a row costs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqsd_lint.encode import Encoder
from sqsd_lint.encode.windows import CONTEXT, IGNORE, MOST, OVERLAP, context_positions, plan, split
from sqsd_lint.types import Encoded
from tests.encode.test_encoder import assert_well_formed, sample
from tests.encode.test_encoder_properties import byte_tokenizer, hostile, plain, tokenizer
from tests.tiny_tokenizer import KINDS

lengths = st.integers(16, 200)


@st.composite
def rows(draw: st.DrawFn) -> tuple[list[bool], int]:
    """Which tokens of a row are trained on, in turns, and the length of a sequence."""
    runs = draw(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 300)), min_size=1, max_size=4))
    counts = [counted for prompt, answer in runs for counted in [False] * prompt + [True] * answer]
    return counts, draw(lengths)


def numbered(parts: list[tuple[Encoded, list[int]]]) -> list[Encoded]:
    """The windows of a row whose tokens are their own positions."""
    assert [encoded.ids for encoded, _ in parts] == [tuple(positions) for _, positions in parts]
    return [encoded for encoded, _ in parts]


@given(rows())
def test_every_trained_token_is_in_a_window_and_predicted_from_something(
    row: tuple[list[bool], int],
) -> None:
    counts, length = row
    parts = numbered(split(range(len(counts)), counts, length=length, most=10_000))
    trained = {label for part in parts for label in part.labels if label != IGNORE}
    assert trained == {i for i, counted in enumerate(counts) if counted}
    for part in parts:
        assert_well_formed(part, length)
        assert part.response_tokens == sum(label != IGNORE for label in part.labels)
        assert list(part.ids) == sorted(set(part.ids))


@given(rows(), st.data())
def test_a_passage_as_long_as_the_overlap_is_whole_in_one_window(
    row: tuple[list[bool], int], data: st.DataObject
) -> None:
    counts, length = row
    first, end = counts.index(True), len(counts)
    overlap = int(length * OVERLAP)
    begin = data.draw(st.integers(first, max(first, end - overlap)))
    passage = range(begin, min(end, begin + overlap))
    ranges = plan(first, end, length=length, context=max(1, int(length * CONTEXT)), overlap=overlap)
    assert any(start <= passage.start and passage.stop <= stop for start, stop in ranges)


@given(rows())
def test_what_a_row_costs(row: tuple[list[bool], int]) -> None:
    counts, length = row
    parts = split(range(len(counts)), counts, length=length, most=10_000)
    step = length - max(1, int(length * CONTEXT)) - int(length * OVERLAP)
    assert len(parts) <= 1 + -(-len(counts) // step)
    assert all(len(part.ids) <= length for part, _ in parts)


@given(rows())
def test_windows_say_which_part_they_are(row: tuple[list[bool], int]) -> None:
    counts, length = row
    parts = numbered(split(range(len(counts)), counts, length=length, most=10_000))
    trained = [i for i, counted in enumerate(counts) if counted]
    for number, part in enumerate(parts, 1):
        window = part.window
        assert window is not None
        assert (window.number, window.count, window.tokens) == (number, len(parts), len(trained))
        own = [label for label in part.labels if label != IGNORE]
        assert trained[window.start : window.end] == own


@given(
    first=st.integers(1, 100),
    further=st.integers(0, 300),
    room=st.integers(1, 120),
    head=st.integers(0, 40),
)
def test_context_is_the_prompts_ends_and_what_comes_just_before(
    first: int, further: int, room: int, head: int
) -> None:
    begin = first + further
    kept = context_positions(first, begin, room, head)
    assert kept == sorted(set(kept))
    assert len(kept) == min(room, begin)
    assert kept[-1] == begin - 1
    if further and room > 1:
        assert sum(at >= first for at in kept) >= min(further, room // 2)
        assert sum(at < first for at in kept) >= min(first, room // 2)


def test_more_windows_than_a_row_may_have_are_lost_and_told() -> None:
    counts = [False] * 5 + [True] * 5_000
    parts = numbered(split(range(len(counts)), counts, length=64))
    assert len(parts) == MOST
    last = max(label for part in parts for label in part.labels)
    lost = len(counts) - 1 - last
    assert lost > 0
    assert {part.response_lost for part in parts} == {lost}
    assert {part.truncated for part in parts} == {"response"}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(user=hostile, answer=hostile, max_length=st.integers(16, 120))
def test_what_fits_is_encoded_as_ever(kind: str, user: str, answer: str, max_length: int) -> None:
    chars, row = tokenizer(kind), sample(("user", user), ("assistant", answer))
    cut = Encoder(chars, max_length=max_length).encode(row)
    assert Encoder(chars, max_length=max_length).encode_parts(row) == [cut]
    parts = Encoder(chars, max_length=max_length, long_answers="windows").encode_parts(row)
    if cut.response_lost:
        assert len(parts) > 1
        assert all(part.window for part in parts)
    else:
        assert parts == [cut]


@pytest.mark.parametrize("filler", ["\u200b", "\u200d", "\U000e0041", "so "])
@pytest.mark.parametrize("kind", ["chatml", "llama3", "none"])
def test_no_character_of_an_inflated_answer_is_out_of_sight(kind: str, filler: str) -> None:
    """A text of many tokens before what matters does not push it out."""
    chars = byte_tokenizer(kind)
    answer = filler.join("of bread") + filler * 40 + " then salt."
    row = sample(("user", "What goes in?"), ("assistant", answer))
    encoder = Encoder(chars, max_length=64, long_answers="windows")
    parts = encoder.locate_parts(row)
    assert Encoder(chars, max_length=64).encode(row).response_lost > 0
    seen = {
        at
        for encoded, places in parts
        for label, place in zip(encoded.labels, places, strict=True)
        if label != IGNORE and place
        for at in range(place.start, place.end)
    }
    assert seen == set(range(len(answer)))
    assert {encoded.response_lost for encoded, _ in parts} == {0}


@settings(max_examples=25)
@given(turns=st.lists(st.tuples(plain, hostile), min_size=1, max_size=4), max_length=st.integers(24, 80))
def test_places_are_those_of_the_whole_row(turns: list[tuple[str, str]], max_length: int) -> None:
    chars = byte_tokenizer("chatml")
    row = sample(*[m for user, answer in turns for m in (("user", user), ("assistant", answer))])
    (whole, places), *_ = Encoder(chars, max_length=100_000).locate_parts(row)
    wanted = {p for p, label in zip(places, whole.labels, strict=True) if p and label != IGNORE}
    found = {
        place
        for encoded, own in Encoder(chars, max_length=max_length, long_answers="windows").locate_parts(row)
        for place, label in zip(own, encoded.labels, strict=True)
        if place and label != IGNORE
    }
    assert found == wanted
