"""Where tokens stand in the words of the messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqsd_lint.encode import Encoder
from sqsd_lint.encode.alignment import Place
from sqsd_lint.types import Sample
from tests import tiny_tokenizer
from tests.encode.test_encoder import sample

ODD = "Ünïcode 🧑‍🚀 and 汉字,\n\n  two  lines\t."


@pytest.fixture(scope="module")
def tokenizers() -> Mapping[str, Any]:
    return {kind: tiny_tokenizer.make_tokenizer(kind) for kind in tiny_tokenizer.KINDS}


def located(tokenizer: Any, one: Sample, **options: Any) -> tuple[list[Place], int]:
    """The places of the tokens that count, and how many of those have none."""
    encoded, places = Encoder(tokenizer, **options).locate_parts(one)[0]
    assert encoded == Encoder(tokenizer, **options).encode(one)
    assert len(places) == len(encoded.ids)
    counted = [p for p, label in zip(places, encoded.labels, strict=True) if label != -100]
    return [p for p in counted if p], sum(p is None for p in counted)


def covered(one: Sample, places: list[Place]) -> dict[int, str]:
    """The text under the places of each turn; every place must be inside its message."""
    chars: dict[int, set[int]] = {}
    for turn, start, end in places:
        assert 0 <= start < end <= len(one.messages[turn].content)
        chars.setdefault(turn, set()).update(range(start, end))
    return {turn: "".join(one.messages[turn].content[i] for i in sorted(at)) for turn, at in chars.items()}


@pytest.mark.parametrize("answer", ["Mix flour, water and salt.", ODD])
@pytest.mark.parametrize("kind", tiny_tokenizer.KINDS)
def test_places_cover_the_answer(tokenizers: Mapping[str, Any], kind: str, answer: str) -> None:
    one = sample(("user", "Why?"), ("assistant", answer))
    places, elsewhere = located(tokenizers[kind], one)
    assert covered(one, places) == {1: answer}
    assert [p.start for p in places] == sorted(p.start for p in places)
    assert elsewhere >= 1, "the end-of-turn"


@pytest.mark.parametrize("kind", tiny_tokenizer.CHAT_KINDS)
def test_places_of_several_turns(tokenizers: Mapping[str, Any], kind: str) -> None:
    one = sample(("user", "Hi"), ("assistant", " First. "), ("user", "And?"), ("assistant", "Second 🧑‍🚀."))
    found = covered(one, located(tokenizers[kind], one)[0])
    assert found[1].strip() == "First."
    assert found[3] == "Second 🧑‍🚀."


def test_thoughts_that_a_template_drops_shift_the_places(tokenizers: Mapping[str, Any]) -> None:
    content = "<think>\nhm\n</think>\n\nIt is 4."
    one = sample(("user", "2+2?"), ("assistant", content), ("user", "3+3?"), ("assistant", "It is 6."))
    assert covered(one, located(tokenizers["qwen3"], one)[0]) == {1: "It is 4.", 3: "It is 6."}


def test_a_row_of_text_is_its_own_only_message(tokenizers: Mapping[str, Any]) -> None:
    for kind in ("none", "none_bos", "llama3"):
        one = sample(("text", "The whole text counts."))
        found = covered(one, located(tokenizers[kind], one)[0])
        assert "The whole text counts.".endswith(found[0])
        assert len(found[0]) > 10


def test_truncation_keeps_places_and_tokens_together(tokenizers: Mapping[str, Any]) -> None:
    one = sample(("user", "Why? " * 30), ("assistant", "Because it is so. " * 30))
    places, _ = located(tokenizers["chatml"], one, max_length=64)
    text = covered(one, places)[1]
    assert one.messages[1].content.startswith(text)
    assert 0 < len(text) < len(one.messages[1].content)


def test_one_token_per_byte_gives_every_byte_the_place_of_its_character() -> None:
    tokenizer = tiny_tokenizer.make_tokenizer("chatml", merges=False)
    one = sample(("user", "?"), ("assistant", "a🧑b"))
    places, _ = located(tokenizer, one)
    assert places == [Place(1, 0, 1), *[Place(1, 1, 2)] * 4, Place(1, 2, 3)]


def test_a_lone_surrogate_moves_nothing(tokenizers: Mapping[str, Any]) -> None:
    one = sample(("user", "?"), ("assistant", "a \ud800 b."))
    assert covered(one, located(tokenizers["chatml"], one)[0]) == {1: "a \ud800 b."}


@settings(max_examples=60)
@given(
    answers=st.lists(st.text(min_size=1), min_size=1, max_size=3), kind=st.sampled_from(["chatml", "mistral"])
)
def test_places_stay_inside_their_messages(
    tokenizers: Mapping[str, Any], answers: list[str], kind: str
) -> None:
    one = sample(*[turn for a in answers for turn in (("user", "q"), ("assistant", a))])
    try:
        places, _ = located(tokenizers[kind], one, max_length=4096)
    except ValueError:
        return  # the template does not reproduce such an answer
    covered(one, places)
    assert covered(one, [p for p in places if p.turn == 2 * len(answers) - 1]).get(
        2 * len(answers) - 1, ""
    ) in (answers[-1], "")
