from __future__ import annotations

from sqsd_lint.samples import excerpt, to_sample
from sqsd_lint.types import Row, Sample, Where


def excerpt_of(raw: object) -> str:
    sample = to_sample(Row(Where("rows.jsonl", 1, 0), raw))
    assert isinstance(sample, Sample)
    return excerpt(sample)


def test_prompt_and_answer() -> None:
    assert excerpt_of({"prompt": "Q\x1b\n", "response": "A"}) == "Q\x1b\n → A"


def test_the_last_trained_answer_and_the_prompt_before_it() -> None:
    turns = [("user", "Q1"), ("assistant", "A1"), ("user", "Q2"), ("assistant", "A2"), ("user", "Q3")]
    messages = [{"role": role, "content": content} for role, content in turns]
    assert excerpt_of({"messages": messages}) == "Q2 → A2"
    messages[3]["weight"] = 0  # type: ignore[assignment]
    assert excerpt_of({"messages": messages}) == "Q1 → A1"


def test_text_alone() -> None:
    assert excerpt_of({"text": "T"}) == "T"


def test_long_parts_are_cut() -> None:
    assert (
        excerpt_of({"prompt": "q" * 10_000, "response": "a" * 10_000}) == "q" * 239 + "… → " + "a" * 239 + "…"
    )


def test_lone_surrogates_can_be_printed() -> None:
    assert excerpt_of({"text": "T\ud800"}).encode("utf-8") == b"T\\ud800"
