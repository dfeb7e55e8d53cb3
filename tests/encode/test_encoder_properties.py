"""What holds for any text: the labelled tokens are the answers, and the lengths add up."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqsd_lint.encode import Encoder
from tests import tiny_tokenizer
from tests.encode.test_encoder import assert_well_formed, labelled, render, sample
from tests.tiny_tokenizer import CHAT_KINDS, END_OF_TURN, KINDS

specials = st.sampled_from(
    ["<|im_end|>", "<|im_start|>assistant\n", "<|eot_id|>", "</s>", "<bos>", "[/INST]", "<think>"]
)
plain = st.text(min_size=1, max_size=30).filter(lambda text: bool(text.strip()))
hostile = st.lists(st.one_of(plain, specials), min_size=1, max_size=4).map("".join)


@cache
def byte_tokenizer(kind: str) -> Any:
    """One token per byte: no token ever straddles a prompt and its answer, so equality can be exact."""
    return tiny_tokenizer.make_tokenizer(kind, merges=False)


@cache
def tokenizer(kind: str) -> Any:
    return tiny_tokenizer.make_tokenizer(kind)


def spellings(kind: str, answer: str) -> set[str]:
    """The answer as the row has it, or as the template writes it: Llama-3's and Gemma's strip it, Mistral's
    puts a space before it. Both are right; anything else is not."""
    stripped = {answer.strip()} if kind in {"llama3", "gemma"} else set()
    spaced = {" " + answer} if kind == "mistral" else set()
    return {answer, *stripped, *spaced}


@pytest.mark.parametrize("kind", CHAT_KINDS)
@settings(max_examples=40)
@given(user=hostile, answer=plain)
def test_labelled_tokens_decode_to_the_answer_and_its_end(kind: str, user: str, answer: str) -> None:
    chars = byte_tokenizer(kind)
    encoded = Encoder(chars).encode(sample(("user", user), ("assistant", answer)))
    assert_well_formed(encoded)
    assert encoded.truncated == ""
    text = labelled(chars, encoded)
    assert text in {spelling + END_OF_TURN[kind] for spelling in spellings(kind, answer)}
    assert chars.decode(encoded.ids) == render(chars, [("user", user)]) + text


@pytest.mark.parametrize("kind", ["chatml", "qwen3", "llama3", "gemma"])
@settings(max_examples=30)
@given(turns=st.lists(st.tuples(hostile, plain), min_size=1, max_size=4), last=st.booleans())
def test_all_turns_or_the_last_one(kind: str, turns: list[tuple[str, str]], last: bool) -> None:
    chars = byte_tokenizer(kind)
    messages = [m for user, answer in turns for m in (("user", user), ("assistant", answer))]
    encoded = Encoder(chars, turns="last" if last else "all", max_length=4000).encode(sample(*messages))
    assert_well_formed(encoded, 4000)
    answers = [answer for _, answer in (turns[-1:] if last else turns)]
    *found, rest = labelled(chars, encoded).split(END_OF_TURN[kind])
    assert rest == ""
    assert len(found) == len(answers)
    assert all(text in spellings(kind, answer) for text, answer in zip(found, answers, strict=True))


@pytest.mark.parametrize("kind", ["chatml", "llama3", "none"])
@settings(max_examples=40)
@given(user=hostile, answer=plain)
def test_merged_tokens_lose_at_most_the_one_that_straddles(kind: str, user: str, answer: str) -> None:
    """A token that starts in the prompt is a prompt token, even where it reaches into the answer."""
    merged = tokenizer(kind)
    encoded = Encoder(merged).encode(sample(("user", user), ("assistant", answer)))
    assert_well_formed(encoded)
    text = labelled(merged, encoded)
    longest = max(len(token) for token in merged.get_vocab())
    assert any(
        spelling.endswith(text.removesuffix(END_OF_TURN[kind])) and len(spelling) - len(text) < longest
        for spelling in spellings(kind, answer)
    )
    assert text.endswith(END_OF_TURN[kind])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(user=hostile, answer=hostile, max_length=st.integers(8, 120))
def test_lengths_add_up_under_truncation(kind: str, user: str, answer: str, max_length: int) -> None:
    chars = tokenizer(kind)
    row = sample(("user", user), ("assistant", answer))
    whole = Encoder(chars).encode(row)
    cut = Encoder(chars, max_length=max_length).encode(row)
    assert_well_formed(cut, max_length)
    assert cut.response_tokens + cut.response_lost == whole.response_tokens
    assert (cut.truncated == "") == (len(whole.ids) <= max_length)
    if "response" not in cut.truncated:
        assert labelled(chars, cut) == labelled(chars, whole)


@pytest.mark.parametrize("kind", ["chatml", "llama3", "none_bos"])
@settings(max_examples=40)
@given(text=hostile)
def test_plain_text_counts_whole(kind: str, text: str) -> None:
    chars = tokenizer(kind)
    encoded = Encoder(chars).encode(sample(("text", text)))
    assert_well_formed(encoded)
    assert encoded.labels[1:] == encoded.ids[1:]
    # Text that was rendered before often carries its own BOS and EOS: neither may stand there twice.
    bos = "" if not chars.bos_token or text.startswith(chars.bos_token) else chars.bos_token
    eos = "" if text.endswith(chars.eos_token) and text != chars.eos_token else chars.eos_token
    assert chars.decode(encoded.ids) == bos + text + eos


@settings(max_examples=30)
@given(user=hostile, answer=plain)
def test_encoding_is_a_function_of_the_row(user: str, answer: str) -> None:
    """No state is carried from one row to the next."""
    row = sample(("user", user), ("assistant", answer))
    used = Encoder(tokenizer("gemma"))
    used.encode(sample(("system", "Be brief."), ("user", answer), ("assistant", user)))
    assert used.encode(row) == Encoder(tokenizer("gemma")).encode(row)
