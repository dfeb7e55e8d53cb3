from __future__ import annotations

import io
import json
import random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sqsd_lint.read import read_rows
from sqsd_lint.samples import fingerprint, to_sample
from sqsd_lint.types import Message, Problem, Row, Sample, Where

WORDS = st.text(min_size=1, max_size=12).filter(lambda text: text.strip() != "")


def sample_of(raw: Any, line: int = 1) -> Sample:
    sample = to_sample(Row(Where("rows.jsonl", line, line - 1), raw))
    assert isinstance(sample, Sample)
    return sample


def forms(question: str, answer: str) -> list[dict[str, Any]]:
    user = {"role": "user", "content": question}
    assistant = {"role": "assistant", "content": answer}
    return [
        {"messages": [user, assistant]},
        {"messages": json.dumps([user, assistant])},
        {"messages": [{**user, "content": [{"type": "text", "text": question}]}, {**assistant, "weight": 1}]},
        {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]},
        {"prompt": question, "completion": answer},
        {"prompt": [user], "completion": [assistant]},
        {"instruction": question, "input": "", "output": answer},
        {"instruction": question, "context": None, "response": answer},
        {"prompt": question, "response": answer},
        {"question": question, "answer": answer},
        {"prompt": question, "chosen": answer, "rejected": "other"},
        {"chosen": [user, assistant], "rejected": [user, {**assistant, "content": answer + "!"}]},
    ]


# Columns that no layout has: Hypothesis draws strings of the code, "completion" among them.
EXTRA = st.dictionaries(st.text().map("extra ".__add__), st.text())


@given(question=WORDS, answer=WORDS, extra=EXTRA, seed=st.integers())
def test_one_conversation_has_one_fingerprint(
    question: str, answer: str, extra: dict[str, str], seed: int
) -> None:
    prints = set()
    for line, row in enumerate(forms(question, answer), start=1):
        items = [*row.items(), *extra.items(), ("sqsd_lint", {"ignore": ["SQSD101"]}), ("id", line)]
        random.Random(seed).shuffle(items)
        prints.add(sample_of(dict(items), line).fingerprint)
    assert len(prints) == 1


@given(question=WORDS, answer=WORDS, at=st.integers(0), char=st.characters(), where=st.sampled_from("qa"))
def test_any_character_of_the_content_counts(
    question: str, answer: str, at: int, char: str, where: str
) -> None:
    old = question if where == "q" else answer
    new = old[: at % len(old)] + char + old[at % len(old) + 1 :]
    assume(new != old)
    assume(new.strip())
    changed = (new, answer) if where == "q" else (question, new)
    before, after = forms(question, answer)[0], forms(*changed)[0]
    assert sample_of(before).fingerprint != sample_of(after).fingerprint


@given(text=st.text(min_size=1))
def test_fingerprints_survive_the_way_a_file_is_written(text: str) -> None:
    row = {"prompt": "Q" + text, "completion": text + "A"}
    compact = json.dumps(row, separators=(",", ":"), ensure_ascii=True)
    spaced = json.dumps(dict(reversed(row.items())), separators=(" ,  ", " : "), ensure_ascii=False)
    file = io.BytesIO((compact + "\n" + spaced).encode("utf-8"))
    one, other = read_rows("-", stdin=file)
    assert isinstance(one, Row)
    assert isinstance(other, Row)
    assert sample_of(one.raw).fingerprint == sample_of(other.raw).fingerprint


Q, A = Message("user", "Q"), Message("assistant", "A")
DIFFERENT = [
    fingerprint([Q, A], [False, True]),
    fingerprint([Q, A], [False, False]),
    fingerprint([A, Q], [True, False]),
    fingerprint([Message("system", "Q"), A], [False, True]),
    fingerprint([Message("user", "QA"), Message("assistant", "")], [False, True]),
    fingerprint([Message("user", "Q\n"), A], [False, True]),
    fingerprint([Q, Message("assistant", "A", {"name": "x"})], [False, True]),
    fingerprint([Q, A], [False, True], [{"type": "function"}]),
    fingerprint([Q, A], [False, True], [{"type": "functions"}]),
    fingerprint([Message("text", "Q")], [True]),
    fingerprint([Message("text", "\ud800")], [True]),
    fingerprint([Message("text", "\ud801")], [True]),
    fingerprint([Message("text", "\\ud800")], [True]),
    fingerprint([], []),
]


def test_whatever_is_trained_on_counts() -> None:
    assert len(set(DIFFERENT)) == len(DIFFERENT)


def test_the_order_of_keys_in_tools_does_not() -> None:
    one = fingerprint([Q, A], [False, True], [{"a": 1, "b": {"c": 2, "d": 3}}])
    assert one == fingerprint([Q, A], [False, True], [{"b": {"d": 3, "c": 2}, "a": 1}])


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"instruction": "Add 2 and 3.", "input": "", "output": "5"}, "bae2647473f1e43108bdeb8aab869554"),
        ({"text": 'Ünïcode \ud800 \u2028 \U0001f600 "quoted" \\ \x00'}, "ed4c225b8f16cb70e84911bdae4a48bd"),
        (
            {
                "messages": [
                    {"role": "user", "content": "Q"},
                    {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]},
                    {"role": "tool", "content": 1.5, "tool_call_id": "t"},
                    {"role": "assistant", "content": "A", "weight": 0},
                ],
                "tools": [{"type": "function", "function": {"name": "f"}}],
            },
            "8883cf7499d90abe5fbd8a2839b7f08b",
        ),
    ],
)
def test_golden(row: dict[str, Any], expected: str) -> None:
    # Caches, baselines and suppressions everywhere key on these: a change needs a new version tag.
    assert sample_of(row).fingerprint == expected


def test_an_unscorable_row_has_the_fingerprint_of_its_content() -> None:
    problem = to_sample(Row(Where("rows.jsonl", 1, 0), {"instruction": "Q", "output": ""}))
    assert isinstance(problem, Problem)
    assert problem.fingerprint == fingerprint([Q, Message("assistant", "")], [False, True])
