from __future__ import annotations

from typing import Any

import pytest

from sqsd_lint.errors import ConfigError
from sqsd_lint.samples import Columns, to_sample
from sqsd_lint.types import Problem, Row, Sample, Where
from tests.samples.test_layouts import turns

WHERE = Where("rows.jsonl", 1, 0)
QA = [["user", "Q", False], ["assistant", "A", True]]
CHAT = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]

CASES: list[tuple[dict[str, str], dict[str, Any], list[Any]]] = [
    ({"prompt": "q", "response": "a"}, {"q": "Q", "a": "A"}, QA),
    ({"prompt": "q", "response": "a"}, {"q": CHAT[:1], "a": CHAT[1:]}, QA),
    ({"prompt": "q"}, {"q": "Q", "output": "A"}, QA),
    ({"response": "a"}, {"question": "Q", "a": "A"}, QA),
    ({"response": "better"}, {"instruction": "Q", "output": "B", "better": "A"}, QA),
    ({"messages": "chat"}, {"chat": CHAT, "text": "T"}, QA),
    ({"text": "body"}, {"body": "T", "messages": CHAT}, [["text", "T", True]]),
    ({"system": "s"}, {"s": "S", "messages": CHAT}, [["system", "S", False], *QA]),
    (
        {"context": "c"},
        {"instruction": "Q", "input": "I", "c": "C", "output": "A"},
        [["user", "Q\n\nC", False], QA[1]],
    ),
    (
        {"prompt": "q", "context": "c", "response": "a", "system": "s"},
        {"q": "Q", "c": "C", "a": "A", "s": "S"},
        [["system", "S", False], ["user", "Q\n\nC", False], QA[1]],
    ),
    ({"prompt": "q", "context": "c", "response": "a"}, {"q": "Q", "c": None, "a": "A"}, QA),
    ({}, {"question": "Q", "answer": "A"}, QA),
]


@pytest.mark.parametrize(("names", "row", "expected"), CASES)
def test_named_columns_override_detection(
    names: dict[str, str], row: dict[str, Any], expected: list[Any]
) -> None:
    sample = to_sample(Row(WHERE, row), Columns(**names))
    assert isinstance(sample, Sample)
    assert turns(sample) == expected


MISSING: list[tuple[dict[str, str], dict[str, Any], str, str]] = [
    (
        {"prompt": "qestion", "response": "a"},
        {"question": "Q", "a": "A"},
        "'qestion'",
        "did you mean 'question'?",
    ),
    ({"messages": "chat"}, {"messages": CHAT}, "columns found: 'messages'", "[columns]"),
    ({"text": "body"}, {"text": "T"}, "names as text", "set text"),
    ({"system": "s"}, {"messages": CHAT}, "names as system", ""),
    ({"context": "c"}, {"instruction": "Q", "output": "A"}, "names as context", ""),
    ({"prompt": "q"}, {"q": "Q"}, "names no response", "set response"),
    ({"response": "a"}, {"a": "A"}, "names no prompt", "set prompt"),
    (
        {"prompt": "q", "context": "c", "response": "a"},
        {"q": CHAT, "c": "C", "a": "A"},
        "needs a prompt of text",
        "",
    ),
]


@pytest.mark.parametrize(("names", "row", "message", "hint"), MISSING)
def test_a_named_column_that_is_missing(
    names: dict[str, str], row: dict[str, Any], message: str, hint: str
) -> None:
    problem = to_sample(Row(WHERE, row), Columns(**names))
    assert isinstance(problem, Problem)
    assert problem.code == "SQSD303"
    assert message in problem.message
    assert hint in problem.hint


def test_an_empty_named_answer_is_unscorable() -> None:
    problem = to_sample(Row(WHERE, {"q": "Q", "a": ""}), Columns(prompt="q", response="a"))
    assert isinstance(problem, Problem)
    assert problem.code == "SQSD301"
    problem = to_sample(Row(WHERE, {"body": None}), Columns(text="body"))
    assert isinstance(problem, Problem)
    assert (problem.code, problem.message) == ("SQSD301", "the text is empty")


@pytest.mark.parametrize(
    "names",
    [
        {"messages": "a", "text": "b"},
        {"text": "a", "response": "b"},
        {"messages": "a", "prompt": "b"},
        {"text": "a", "system": "b"},
    ],
)
def test_columns_that_contradict_each_other(names: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Columns(**names)
    assert caught.value.hint


def test_columns_of_a_configuration() -> None:
    assert Columns.from_mapping({"prompt": "q", "response": "a"}) == Columns(prompt="q", response="a")
    with pytest.raises(ConfigError, match="unknown key 'promt'") as caught:
        Columns.from_mapping({"promt": "q"})
    assert caught.value.hint == "did you mean prompt?"
