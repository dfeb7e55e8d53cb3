"""Which tokens a sample becomes, and which of them count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sqsd_lint.encode import Encoder, UnencodableError
from sqsd_lint.types import Encoded, Message, Sample, Where
from tests import tiny_tokenizer
from tests.tiny_tokenizer import CHAT_KINDS, END_OF_TURN

USER, ANSWER = "How do I bake bread at home?", "Mix flour, water and salt.\n\nThen wait."


def sample(*turns: tuple[str, str], mask: Sequence[bool] | None = None, **fields: Any) -> Sample:
    messages = tuple(Message(role, content) for role, content in turns)
    counted = tuple(role in {"assistant", "text"} for role, _ in turns) if mask is None else tuple(mask)
    return Sample("0" * 32, messages, counted, Where("rows.jsonl", 1, 0), **fields)


def chat(turns: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def render(tokenizer: Any, turns: Sequence[tuple[str, str]]) -> str:
    """The template of the messages before the answer, with the generation prompt."""
    text: str = tokenizer.apply_chat_template(chat(turns), tokenize=False, add_generation_prompt=True)
    return text


def labelled(tokenizer: Any, encoded: Encoded) -> str:
    """The text of the tokens that count."""
    text: str = tokenizer.decode([label for label in encoded.labels if label != -100])
    return text


def assert_well_formed(encoded: Encoded, max_length: int = 1024) -> None:
    assert 0 < len(encoded.ids) == len(encoded.labels) <= max_length
    assert all(label in (-100, token) for token, label in zip(encoded.ids, encoded.labels, strict=True))
    assert encoded.labels[0] == -100
    assert encoded.response_tokens == sum(label != -100 for label in encoded.labels)
    assert encoded.response_lost >= 0
    assert ("response" in encoded.truncated) == (encoded.response_lost > 0)


@pytest.fixture(scope="module")
def tokenizers() -> Mapping[str, Any]:
    return {kind: tiny_tokenizer.make_tokenizer(kind) for kind in tiny_tokenizer.KINDS}


@pytest.mark.parametrize("kind", CHAT_KINDS)
def test_one_exchange_is_prompt_answer_and_end_of_turn(tokenizers: Mapping[str, Any], kind: str) -> None:
    tokenizer = tokenizers[kind]
    encoded = Encoder(tokenizer).encode(sample(("user", USER), ("assistant", ANSWER)))
    assert_well_formed(encoded)
    prompt = render(tokenizer, [("user", USER)])
    text = tokenizer.decode(encoded.ids)
    assert text.startswith(prompt)
    # Mistral's template puts a space before the answer: whether it counts is the tokenizer's affair.
    assert text.removeprefix(prompt).lstrip(" ") == ANSWER + END_OF_TURN[kind]
    assert labelled(tokenizer, encoded).lstrip(" ") == ANSWER + END_OF_TURN[kind]
    assert (encoded.truncated, encoded.response_lost) == ("", 0)
    assert encoded.ids[-1] == tokenizer.convert_tokens_to_ids(END_OF_TURN[kind]) == encoded.labels[-1]


@pytest.mark.parametrize("kind", ["llama3", "gemma", "mistral", "none_bos"])
def test_bos_exactly_once(tokenizers: Mapping[str, Any], kind: str) -> None:
    tokenizer = tokenizers[kind]
    encoder = Encoder(tokenizer)
    for row in (sample(("user", USER), ("assistant", ANSWER)), sample(("text", USER + " " + ANSWER))):
        ids = encoder.encode(row).ids
        assert ids[0] == tokenizer.bos_token_id
        assert ids.count(tokenizer.bos_token_id) == 1


THREE = (
    ("user", "One?"),
    ("assistant", "First."),
    ("user", "Two?"),
    ("assistant", "Second."),
    ("user", "Three?"),
)


@pytest.mark.parametrize("kind", CHAT_KINDS)
def test_every_assistant_turn_counts(tokenizers: Mapping[str, Any], kind: str) -> None:
    tokenizer = tokenizers[kind]
    encoded = Encoder(tokenizer).encode(sample(*THREE, ("assistant", "Third.")))
    assert_well_formed(encoded)
    end = END_OF_TURN[kind]
    assert labelled(tokenizer, encoded).replace(" ", "") == f"First.{end}Second.{end}Third.{end}"
    text = tokenizer.decode(encoded.ids)
    places = [text.index(part) for part in ("One?", "First.", "Two?", "Second.", "Three?", "Third.")]
    assert places == sorted(places)


@pytest.mark.parametrize("kind", CHAT_KINDS)
def test_last_turn_only(tokenizers: Mapping[str, Any], kind: str) -> None:
    tokenizer = tokenizers[kind]
    encoded = Encoder(tokenizer, turns="last").encode(sample(*THREE, ("assistant", "Third.")))
    assert_well_formed(encoded)
    assert labelled(tokenizer, encoded).lstrip(" ") == "Third." + END_OF_TURN[kind]
    assert tokenizer.decode(encoded.ids).startswith(render(tokenizer, THREE))


@pytest.mark.parametrize("turns", ["all", "last"])
def test_turns_of_weight_zero_do_not_count(tokenizers: Mapping[str, Any], turns: Any) -> None:
    tokenizer = tokenizers["chatml"]
    row = sample(*THREE, ("assistant", "Third."), mask=(False, False, False, True, False, False))
    encoded = Encoder(tokenizer, turns=turns).encode(row)
    assert_well_formed(encoded)
    assert labelled(tokenizer, encoded) == "Second.<|im_end|>"


def test_nothing_stands_after_the_last_counted_turn(tokenizers: Mapping[str, Any]) -> None:
    """Tokens after it cannot change its loss, and a model must not be run over them."""
    tokenizer = tokenizers["chatml"]
    encoded = Encoder(tokenizer).encode(sample(*THREE))
    assert_well_formed(encoded)
    assert labelled(tokenizer, encoded) == "First.<|im_end|>Second.<|im_end|>"
    assert encoded.labels[-1] != -100
    assert "Three?" not in tokenizer.decode(encoded.ids)


@pytest.mark.parametrize(
    "turns", [(("user", USER),), (("user", USER), ("assistant", ANSWER)), (("system", "Hi"),)]
)
def test_a_row_without_a_counted_turn_is_refused(tokenizers: Mapping[str, Any], turns: Any) -> None:
    row = sample(*turns, mask=(False,) * len(turns))
    with pytest.raises(UnencodableError, match="assistant"):
        Encoder(tokenizers["chatml"]).encode(row)


@pytest.mark.parametrize("kind", ["chatml", "chatml_default_system", "qwen3", "llama3"])
def test_system_turn(tokenizers: Mapping[str, Any], kind: str) -> None:
    tokenizer = tokenizers[kind]
    encoder = Encoder(tokenizer)
    encoded = encoder.encode(sample(("system", "Be brief."), ("user", USER), ("assistant", ANSWER)))
    assert_well_formed(encoded)
    prompt = render(tokenizer, [("system", "Be brief."), ("user", USER)])
    assert tokenizer.decode(encoded.ids) == prompt + ANSWER + END_OF_TURN[kind]
    assert labelled(tokenizer, encoded) == ANSWER + END_OF_TURN[kind]
    assert not any("system" in note.lower() for note in encoder.notes)


@pytest.mark.parametrize("kind", ["gemma", "mistral"])
def test_refused_system_turn_joins_the_first_user_message_and_the_notes_say_so(
    tokenizers: Mapping[str, Any], kind: str
) -> None:
    tokenizer = tokenizers[kind]
    encoder = Encoder(tokenizer)
    encoded = encoder.encode(sample(("system", "Be brief."), ("user", USER), ("assistant", ANSWER)))
    assert_well_formed(encoded)
    text = tokenizer.decode(encoded.ids)
    assert text.index("Be brief.") < text.index(USER) < text.index(ANSWER)
    assert text.count("user" if kind == "gemma" else "[INST]") == 1
    assert labelled(tokenizer, encoded).lstrip(" ") == ANSWER + END_OF_TURN[kind]
    assert any("system" in note.lower() for note in encoder.notes)


@pytest.mark.parametrize("kind", ["chatml", "qwen3", "llama3"])
def test_tool_turns_are_read_but_do_not_count(tokenizers: Mapping[str, Any], kind: str) -> None:
    tokenizer = tokenizers[kind]
    turns = (
        ("user", "Weather?"),
        ("assistant", "I look."),
        ("tool", "sunny, 21 degrees"),
        ("assistant", "Sunny."),
    )
    encoded = Encoder(tokenizer).encode(sample(*turns))
    assert_well_formed(encoded)
    end = END_OF_TURN[kind]
    assert labelled(tokenizer, encoded) == f"I look.{end}Sunny.{end}"
    assert "sunny, 21 degrees" in tokenizer.decode(encoded.ids)


CALL = {"type": "function", "function": {"name": "weather", "arguments": {}}}
TOOLS = ({"type": "function", "function": {"name": "weather", "parameters": {}}},)
CALLED = (
    Message("user", "Rain?", {"name": "ann"}),
    Message("assistant", "", {"tool_calls": [CALL]}),
    Message("tool", "no", {"tool_call_id": "1"}),
    Message("assistant", "No rain."),
)


@pytest.fixture
def calling() -> Any:
    """A tokenizer whose template writes tools, names and tool calls."""
    tokenizer = tiny_tokenizer.make_tokenizer("chatml")
    tokenizer.chat_template = (
        "{% if tools %}{{ '[' + tools[0]['function']['name'] + ']' }}{% endif %}"
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + (m['name'] or '') + '\n' + m['content'] }}"
        "{% for call in m['tool_calls'] or [] %}{{ '{' + call['function']['name'] + '}' }}{% endfor %}"
        "{{ '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    return tokenizer


def test_extra_fields_and_tools_reach_the_template(calling: Any) -> None:
    row = Sample("0" * 32, CALLED, (False, False, False, True), Where("rows.jsonl", 1, 0), tools=TOOLS)
    encoded = Encoder(calling).encode(row)
    assert_well_formed(encoded)
    text = calling.decode(encoded.ids)
    assert text.startswith(
        "[weather]<|im_start|>userann\nRain?<|im_end|>\n<|im_start|>assistant\n{weather}<|im_end|>"
    )
    assert labelled(calling, encoded) == "No rain.<|im_end|>"


@pytest.mark.parametrize("content", ["", "I look."])
@pytest.mark.parametrize("count", [2, 4])
def test_a_counted_turn_with_tool_calls_counts_as_the_template_writes_it(
    calling: Any, content: str, count: int
) -> None:
    """Training on it teaches the call, so the call is what has to be scored, whether it comes last or not."""
    messages = tuple(replace(m, content=content) if m.extra.get("tool_calls") else m for m in CALLED)[:count]
    mask = tuple(message.role == "assistant" for message in messages)
    row = Sample("0" * 32, messages, mask, Where("rows.jsonl", 1, 0), tools=TOOLS)
    encoded = Encoder(calling).encode(row)
    assert_well_formed(encoded)
    assert labelled(calling, encoded) == f"{content}{{weather}}<|im_end|>" + (
        "No rain.<|im_end|>" if count == 4 else ""
    )


@pytest.mark.parametrize("kind", ["none", "none_bos"])
def test_without_a_chat_template_a_plain_instruction_template_serves(
    tokenizers: Mapping[str, Any], kind: str
) -> None:
    tokenizer = tokenizers[kind]
    encoder = Encoder(tokenizer)
    encoded = encoder.encode(sample(("user", USER), ("assistant", ANSWER)))
    assert_well_formed(encoded)
    text = tokenizer.decode(encoded.ids)
    assert "### Instruction:" in text
    assert text.index(USER) < text.index("### Response:") < text.index(ANSWER)
    assert labelled(tokenizer, encoded).lstrip() == ANSWER + END_OF_TURN[kind]
    assert any("template" in note.lower() for note in encoder.notes)


def test_notes_are_silent_where_there_is_nothing_to_say(tokenizers: Mapping[str, Any]) -> None:
    encoder = Encoder(tokenizers["chatml"])
    encoder.encode(sample(("user", USER), ("assistant", ANSWER)))
    assert list(encoder.notes) == []


@pytest.mark.parametrize("kind", tiny_tokenizer.KINDS)
def test_plain_text_counts_from_its_second_token_to_eos(tokenizers: Mapping[str, Any], kind: str) -> None:
    tokenizer = tokenizers[kind]
    encoded = Encoder(tokenizer).encode(sample(("text", ANSWER)))
    assert_well_formed(encoded)
    assert encoded.labels[1:] == encoded.ids[1:]
    assert encoded.ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(encoded.ids) == (tokenizer.bos_token or "") + ANSWER + tokenizer.eos_token


def test_thoughts_of_an_answer_are_part_of_it(tokenizers: Mapping[str, Any]) -> None:
    """Qwen3's template rewrites a last turn with <think>; what is trained on is the row's own text."""
    tokenizer = tokenizers["qwen3"]
    answer = "<think>\nBread needs yeast.\n</think>\n\nMix flour."
    encoded = Encoder(tokenizer).encode(sample(("user", USER), ("assistant", answer)))
    assert tokenizer.decode(encoded.ids) == render(tokenizer, [("user", USER)]) + answer + "<|im_end|>"
    assert labelled(tokenizer, encoded) == answer + "<|im_end|>"


def test_thoughts_that_the_template_drops_from_the_history_do_not_make_a_row_unscorable(
    tokenizers: Mapping[str, Any],
) -> None:
    """Qwen3's template keeps the thoughts of the last turn only; what it keeps of the others still counts."""
    tokenizer = tokenizers["qwen3"]
    answer = "<think>\nBread.\n</think>\n\nMix flour."
    row = sample(("user", USER), ("assistant", answer), ("user", "And then?"), ("assistant", answer))
    encoded = Encoder(tokenizer).encode(row)
    assert_well_formed(encoded)
    assert labelled(tokenizer, encoded) == "Mix flour.<|im_end|>" + answer + "<|im_end|>"


@pytest.mark.parametrize("kind", ["llama3", "none_bos"])
def test_text_that_brings_its_own_bos_gets_no_second_one(tokenizers: Mapping[str, Any], kind: str) -> None:
    tokenizer = tokenizers[kind]
    encoded = Encoder(tokenizer).encode(sample(("text", tokenizer.bos_token + ANSWER)))
    assert encoded == Encoder(tokenizer).encode(sample(("text", ANSWER)))


# ---- truncation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CHAT_KINDS)
def test_a_long_prompt_loses_its_middle(tokenizers: Mapping[str, Any], kind: str) -> None:
    tokenizer = tokenizers[kind]
    row = sample(("user", USER * 40), ("assistant", ANSWER))
    head = tokenizer(render(tokenizer, [("user", USER * 40)]).split(USER)[0], add_special_tokens=False)
    whole = Encoder(tokenizer).encode(row)
    cut = Encoder(tokenizer, max_length=160).encode(row)
    assert_well_formed(cut, 160)
    assert len(cut.ids) == 160
    assert (cut.truncated, cut.response_lost, cut.response_tokens) == ("prompt", 0, whole.response_tokens)
    length = len(head["input_ids"])  # by itself: before the first words, the tokens of its end may differ
    assert length > 2
    assert cut.ids[: length - 2] == whole.ids[: length - 2]
    assert cut.ids[length + 1 :] == whole.ids[length + 1 - 160 :]
    assert labelled(tokenizer, cut) == labelled(tokenizer, whole)


@pytest.mark.parametrize("kind", ["chatml", "qwen3", "llama3"])
def test_a_system_turn_is_kept_before_the_question_is(tokenizers: Mapping[str, Any], kind: str) -> None:
    tokenizer = tokenizers[kind]
    row = sample(("system", "Be brief."), ("user", USER * 20 + " In winter?"), ("assistant", ANSWER))
    text = tokenizer.decode(Encoder(tokenizer, max_length=90).encode(row).ids)
    assert text.startswith(render(tokenizer, [("system", "Be brief."), ("user", "")]).split("Be brief.")[0])
    assert "Be brief." in text
    assert "In winter?" in text
    assert text.count(tokenizer.bos_token or "<|im_start|>system") == 1


def test_a_system_turn_too_long_leaves_half_of_the_room_to_the_question(
    tokenizers: Mapping[str, Any],
) -> None:
    tokenizer = tokenizers["llama3"]
    row = sample(("system", "Rules. " * 300), ("user", USER * 20), ("assistant", "Yes."))
    cut = Encoder(tokenizer, max_length=100).encode(row)
    text = tokenizer.decode(cut.ids)
    assert cut.ids[0] == tokenizer.bos_token_id
    assert (cut.truncated, cut.response_lost) == ("prompt", 0)
    assert text.count("Rules.") > 2
    assert text.count("bread at home?") > 2


@pytest.mark.parametrize("kind", ["llama3", "gemma", "mistral"])
def test_a_beginning_of_text_is_never_cut(tokenizers: Mapping[str, Any], kind: str) -> None:
    tokenizer = tokenizers[kind]
    cut = Encoder(tokenizer, max_length=12).encode(sample(("user", USER * 9), ("assistant", ANSWER * 9)))
    assert cut.ids[0] == tokenizer.bos_token_id
    assert cut.response_tokens == 10


@pytest.mark.parametrize("kind", CHAT_KINDS)
@pytest.mark.parametrize("prompt", [USER, USER * 20])
def test_a_response_that_is_too_long_loses_its_right(
    tokenizers: Mapping[str, Any], kind: str, prompt: str
) -> None:
    tokenizer = tokenizers[kind]
    row = sample(("user", prompt), ("assistant", ANSWER * 20))
    whole = Encoder(tokenizer).encode(row)
    assert whole.truncated == ""
    cut = Encoder(tokenizer, max_length=60).encode(row)
    assert_well_formed(cut, 60)
    assert len(cut.ids) == 60
    assert cut.truncated == "prompt+response"
    assert cut.response_tokens + cut.response_lost == whole.response_tokens
    response = [label for label in whole.labels if label != -100]
    assert [label for label in cut.labels if label != -100] == response[: cut.response_tokens]
    assert cut.response_tokens >= 58, "the prompt goes first: only the token that predicts stays"


def test_exactly_at_the_limit_nothing_is_lost(tokenizers: Mapping[str, Any]) -> None:
    row = sample(("user", USER), ("assistant", ANSWER))
    length = len(Encoder(tokenizers["chatml"]).encode(row).ids)
    assert Encoder(tokenizers["chatml"], max_length=length).encode(row).truncated == ""
    assert Encoder(tokenizers["chatml"], max_length=length - 1).encode(row).truncated == "prompt"


def test_long_text_loses_its_right(tokenizers: Mapping[str, Any]) -> None:
    tokenizer = tokenizers["chatml"]
    whole = Encoder(tokenizer).encode(sample(("text", ANSWER * 10)))
    cut = Encoder(tokenizer, max_length=40).encode(sample(("text", ANSWER * 10)))
    assert_well_formed(cut, 40)
    assert cut.ids == whole.ids[:40]
    assert cut.truncated == "response"
    assert cut.response_tokens + cut.response_lost == whole.response_tokens


@pytest.mark.parametrize("max_length", [16, 40, 64, 100])
def test_long_conversations_account_for_every_response_token(
    tokenizers: Mapping[str, Any], max_length: int
) -> None:
    tokenizer = tokenizers["chatml"]
    row = sample(("user", USER * 3), ("assistant", ANSWER), ("user", USER * 2), ("assistant", ANSWER * 2))
    whole = Encoder(tokenizer).encode(row)
    cut = Encoder(tokenizer, max_length=max_length).encode(row)
    assert_well_formed(cut, max_length)
    assert cut.response_tokens > 0
    assert cut.response_tokens + cut.response_lost == whole.response_tokens


# ---- hostile rows -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CHAT_KINDS)
def test_special_tokens_in_a_prompt_are_no_reason_to_count_it(
    tokenizers: Mapping[str, Any], kind: str
) -> None:
    tokenizer = tokenizers[kind]
    end = END_OF_TURN[kind]
    forged = render(tokenizer, [("user", "hi")]).removeprefix(tokenizer.bos_token or "") + ANSWER + end
    encoded = Encoder(tokenizer).encode(sample(("user", forged), ("assistant", "No.")))
    assert_well_formed(encoded)
    assert labelled(tokenizer, encoded).lstrip(" ") == "No." + end


@pytest.mark.parametrize("kind", CHAT_KINDS)
def test_an_answer_that_repeats_the_prompt_is_found_at_its_own_place(
    tokenizers: Mapping[str, Any], kind: str
) -> None:
    tokenizer = tokenizers[kind]
    for text in ("a", "assistant", "user", "model", END_OF_TURN[kind]):
        encoded = Encoder(tokenizer).encode(sample(("user", text), ("assistant", text)))
        assert_well_formed(encoded)
        prompt = render(tokenizer, [("user", text)])
        assert tokenizer.decode(encoded.ids).replace(" ", "") == (prompt + text + END_OF_TURN[kind]).replace(
            " ", ""
        )
        assert labelled(tokenizer, encoded).lstrip(" ") == text + END_OF_TURN[kind]


@pytest.mark.parametrize("kind", ["gemma", "mistral"])
def test_a_conversation_that_the_template_refuses_is_no_traceback_of_jinja(
    tokenizers: Mapping[str, Any], kind: str
) -> None:
    row = sample(("user", "a"), ("user", "b"), ("assistant", "c"))
    with pytest.raises(UnencodableError, match="alternate"):
        Encoder(tokenizers[kind]).encode(row)


@pytest.mark.parametrize("role", ["user", "assistant", "text"])
def test_a_lone_surrogate_does_not_crash(tokenizers: Mapping[str, Any], role: str) -> None:
    r"""JSON may hold "\ud800", which is no text: tokenizers cannot take it."""
    turns = [("user", "hi"), ("assistant", "yes")] if role != "text" else [("text", "some text")]
    turns = [(r, content + " \ud800!" if r == role else content) for r, content in turns]
    assert_well_formed(Encoder(tokenizers["chatml"]).encode(sample(*turns)))


def test_an_empty_answer_does_not_crash(tokenizers: Mapping[str, Any]) -> None:
    for kind in tiny_tokenizer.KINDS:
        encoded = Encoder(tokenizers[kind]).encode(sample(("user", USER), ("assistant", "")))
        assert encoded.response_tokens <= 1


# ---- text beside the answer ---------------------------------------------------------------------------

# As templates of thinking models are: thoughts of the last turn are written, tool calls are, others are not.
_THINKING = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' and m['reasoning_content'] and loop.last %}"
    "{{ '<think>\n' + m['reasoning_content'] + '\n</think>\n\n' }}{% endif %}"
    "{{ m['content'] }}"
    "{% for call in m['tool_calls'] or [] %}"
    "{{ '<call>' + call['function']['name'] + (call['function']['arguments'] | tojson) + '</call>' }}"
    "{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
WORDS = {
    "type": "function",
    "function": {"name": "send", "arguments": '{"body": "Salt \\u00fc and \\"yeast\\"."}'},
}


@pytest.fixture(scope="module")
def thinking() -> Any:
    tokenizer = tiny_tokenizer.make_tokenizer("chatml")
    tokenizer.chat_template = _THINKING
    return tokenizer


def answers(*extras: tuple[str, dict[str, Any]]) -> Sample:
    messages = [
        m for content, extra in extras for m in (Message("user", USER), Message("assistant", content, extra))
    ]
    mask = tuple(message.role == "assistant" for message in messages)
    return Sample("0" * 32, tuple(messages), mask, Where("rows.jsonl", 1, 0))


def test_a_thought_counts_where_the_template_writes_it(thinking: Any) -> None:
    encoded = Encoder(thinking).encode(answers(("Mix it.", {"reasoning_content": "Bread needs yeast."})))
    assert_well_formed(encoded)
    assert labelled(thinking, encoded) == "<think>\nBread needs yeast.\n</think>\n\nMix it.<|im_end|>"
    assert encoded.dropped == ()


def test_a_thought_is_the_whole_answer(thinking: Any) -> None:
    encoded = Encoder(thinking).encode(answers(("", {"reasoning_content": "Bread needs yeast."})))
    assert "Bread needs yeast." in labelled(thinking, encoded)


def test_thoughts_of_earlier_turns_are_dropped_and_named(thinking: Any) -> None:
    thought = {"reasoning_content": "Bread needs yeast."}
    encoded = Encoder(thinking).encode(answers(("One.", thought), ("Two.", thought)))
    assert labelled(thinking, encoded) == (
        "One.<|im_end|><think>\nBread needs yeast.\n</think>\n\nTwo.<|im_end|>"
    )
    assert encoded.dropped == ("reasoning_content",)


@pytest.mark.parametrize("key", ["thought", "function_call", "refusal"])
def test_what_no_template_writes_changes_nothing_but_is_named(thinking: Any, key: str) -> None:
    value: Any = {"name": "send", "arguments": "{}"} if key == "function_call" else "Bread needs yeast."
    encoded = Encoder(thinking).encode(answers(("Mix it.", {key: value})))
    plain = Encoder(thinking).encode(answers(("Mix it.", {})))
    assert replace(encoded, dropped=()) == plain
    assert encoded.dropped == (key,)


@pytest.mark.parametrize("key", ["thought", "refusal"])
def test_an_answer_of_which_nothing_is_written_cannot_be_scored(thinking: Any, key: str) -> None:
    with pytest.raises(UnencodableError, match=f"writes nothing of the answer, which is all in {key}"):
        Encoder(thinking).encode(answers(("", {key: "Bread needs yeast."})))
    with pytest.raises(UnencodableError, match="writes nothing"):
        Encoder(thinking, turns="last").encode(answers(("One.", {}), (" ", {key: "Bread needs yeast."})))


def test_calls_of_tools_count_with_their_arguments(thinking: Any) -> None:
    for arguments in (WORDS["function"]["arguments"], {"body": "Salt \u00fc."}):
        call = {"type": "function", "function": {"name": "send", "arguments": arguments}}
        encoded = Encoder(thinking).encode(answers(("Done.", {"tool_calls": [call]})))
        assert "Salt" in labelled(thinking, encoded)
        assert encoded.dropped == ()


def test_calls_that_the_template_drops(tokenizers: Mapping[str, Any]) -> None:
    chatml = tokenizers["chatml"]
    encoded = Encoder(chatml).encode(answers(("Done.", {"tool_calls": [WORDS]})))
    assert (labelled(chatml, encoded), encoded.dropped) == ("Done.<|im_end|>", ("tool_calls",))
    with pytest.raises(UnencodableError, match="all in tool_calls"):
        Encoder(chatml).encode(answers(("", {"tool_calls": [WORDS]})))


def test_a_thought_within_the_content_that_the_template_drops(tokenizers: Mapping[str, Any]) -> None:
    thought = "<think>\nBread.\n</think>\n\nMix."
    encoder = Encoder(tokenizers["qwen3"])
    assert encoder.encode(answers((thought, {}))).dropped == ()
    assert encoder.encode(answers((thought, {}), ("More.", {}))).dropped == ("<think>",)


def test_arguments_of_the_template_are_part_of_the_prompt(thinking: Any) -> None:
    encoder = Encoder(thinking, template_arguments={"enable_thinking": False})
    encoded = encoder.encode(answers(("Mix it.", {})))
    assert labelled(thinking, encoded) == "Mix it.<|im_end|>"
    assert thinking.decode(encoded.ids).endswith(
        "<|im_start|>assistant\n<think>\n\n</think>\n\nMix it.<|im_end|>"
    )
    # An answer with a thought of its own is rendered as the trainer does, without the empty one.
    encoded = encoder.encode(answers(("Mix it.", {"reasoning_content": "Yeast."})))
    text = thinking.decode(encoded.ids)
    assert text.endswith("<|im_start|>assistant\n<think>\nYeast.\n</think>\n\nMix it.<|im_end|>")
    assert labelled(thinking, encoded) == "Yeast.\n</think>\n\nMix it.<|im_end|>"
