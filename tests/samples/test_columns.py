from __future__ import annotations

from typing import Any

import pytest

from sqsd_lint.errors import ConfigError
from sqsd_lint.samples import Columns, Reading, to_sample
from sqsd_lint.types import Problem, Row, Sample, Undesirable, Where
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
    sample = to_sample(Row(WHERE, row), Reading.by(Columns(**names)))
    assert isinstance(sample, Sample)
    assert turns(sample) == expected


MISSING: list[tuple[dict[str, str], dict[str, Any], str, str]] = [
    ({"prompt": "qestion", "response": "a"}, {"question": "Q", "x": "A"}, "'qestion'", "did you mean"),
    ({"text": "body"}, {"corpus": "T"}, "names as text", "set text"),
    ({"prompt": "q"}, {"q": "Q", "z": "A"}, "names no response", "set response"),
    ({"response": "z"}, {"z": "A"}, "names no prompt", "set prompt"),
]


@pytest.mark.parametrize(("names", "row", "message", "hint"), MISSING)
def test_a_named_column_that_is_missing(
    names: dict[str, str], row: dict[str, Any], message: str, hint: str
) -> None:
    problem = to_sample(Row(WHERE, row), Reading.by(Columns(**names)))
    assert isinstance(problem, Problem)
    assert problem.code == "SQSD303"
    assert message in problem.message
    assert hint in problem.hint


def test_an_empty_named_answer_is_unscorable() -> None:
    problem = to_sample(Row(WHERE, {"q": "Q", "a": ""}), Reading.by(Columns(prompt="q", response="a")))
    assert isinstance(problem, Problem)
    assert problem.code == "SQSD301"
    problem = to_sample(Row(WHERE, {"body": None}), Reading.by(Columns(text="body")))
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


FITS: list[tuple[dict[str, Any], dict[str, Any], list[Any]]] = [
    # A mapping that does not fit a row leaves it to the layouts.
    ({"messages": "talk"}, {"messages": CHAT}, QA),
    ({"prompt": "q", "response": "a"}, {"question": "Q", "answer": "A"}, QA),
    ({"text": "body"}, {"prompt": "Q", "completion": "A"}, QA),
    ({"system": "s"}, {"messages": CHAT}, QA),
    # What it does not name is found under its usual names.
    (
        {"response": "better"},
        {"instruction": "Q", "input": "I", "better": "A"},
        [["user", "Q\n\nI", False], QA[1]],
    ),
    (
        {"response": "a"},
        {"question": "Q", "system_prompt": "S", "history": [["P", "O"]], "a": "A"},
        [["system", "S", False], ["user", "P", False], ["assistant", "O", True], *QA],
    ),
    # An empty name: there is none.
    (
        {"response": "a", "context": "", "system": ""},
        {"question": "Q", "input": "I", "system": "S", "a": "A"},
        QA,
    ),
    ({"context": ""}, {"instruction": "Q", "input": "I", "output": "A"}, QA),
    # Parts beside prompt and answer may be missing in a row.
    ({"prompt": "q", "response": "a", "context": "c"}, {"q": "Q", "a": "A"}, QA),
    # A transcript under a name of its own.
    ({"messages": "log"}, {"log": "Human: Q\n\nAssistant: A"}, QA),
    # A context behind messages.
    (
        {"prompt": "q", "context": "c", "response": "a"},
        {"q": CHAT[:1], "c": "C", "a": "A"},
        [["user", "Q\n\nC", False], QA[1]],
    ),
]


@pytest.mark.parametrize(("names", "row", "expected"), FITS)
def test_a_mapping_applies_where_it_fits(
    names: dict[str, Any], row: dict[str, Any], expected: list[Any]
) -> None:
    sample = to_sample(Row(WHERE, row), Reading.from_tables(names))
    assert isinstance(sample, Sample)
    assert turns(sample) == expected


def test_a_mapping_for_some_files() -> None:
    reading = Reading.from_tables(
        {"prompt": "q", "response": "a", "old/*.csv": {"prompt": "ask", "response": "say"}}
    )

    def of(file: str, row: dict[str, Any]) -> Any:
        return to_sample(Row(Where(file, 1, 0), row), reading)

    plain, old = {"q": "Q", "a": "A"}, {"ask": "Q", "say": "A"}
    assert turns(of("old/x.csv", old)) == turns(of("new.csv", plain)) == turns(of("old/x.csv", plain)) == QA
    assert isinstance(of("new.csv", old), Problem)
    assert turns(of("old/x.csv", {"messages": CHAT})) == QA
    assert reading.unused() == []


def test_columns_that_no_row_has_are_named() -> None:
    reading = Reading.from_tables({"prompt": "q", "response": "a", "x/*": {"text": "body"}})
    assert len(reading.unused()) == 3
    to_sample(Row(WHERE, {"q": "Q", "a": "A"}), reading)
    assert reading.unused() == ["[columns] names 'body' as text, which no row has"]


def test_the_sign_under_another_name_or_none() -> None:
    row = {"prompt": "Q", "completion": "A", "label": False, "liked": True}
    assert isinstance(to_sample(Row(WHERE, row)), Undesirable)
    for label in ("liked", ""):
        assert isinstance(to_sample(Row(WHERE, row), Reading.from_tables({"label": label})), Sample)
    found = to_sample(Row(WHERE, {**row, "liked": "no"}), Reading.from_tables({"label": "liked"}))
    assert isinstance(found, Undesirable)
    assert found.sign == "liked"


def test_roles_of_a_configuration() -> None:
    row = {"messages": [{"role": "patient", "content": "Q"}, {"role": "Doctor", "content": "A"}]}
    problem = to_sample(Row(WHERE, row))
    assert isinstance(problem, Problem)
    assert 'roles = { patient = "user", Doctor = "assistant" }' in problem.hint
    sample = to_sample(Row(WHERE, row), Reading.from_tables(roles={"patient": "user", "doctor": "assistant"}))
    assert isinstance(sample, Sample)
    assert turns(sample) == QA
    # A role of the configuration wins over a known name.
    swapped = Reading.from_tables(roles={"user": "assistant", "assistant": "user"})
    sample = to_sample(Row(WHERE, {"messages": CHAT}), swapped)
    assert isinstance(sample, Sample)
    assert sample.mask == (True, False)


@pytest.mark.parametrize(
    ("columns", "roles", "says"),
    [
        ({"legacy/*.csv": {"promt": "q"}}, {}, "unknown key 'promt'"),
        ({"!": {"text": "t"}}, {}, "means nothing"),
        ({}, {"patient": "customer"}, "'customer'"),
    ],
)
def test_tables_that_mean_nothing(columns: dict[str, Any], roles: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Reading.from_tables(columns, roles)


def test_the_separator_of_contexts() -> None:
    sample = to_sample(
        Row(WHERE, {"instruction": "Q", "context": "C", "response": "A"}), Reading(separator="\n")
    )
    assert isinstance(sample, Sample)
    assert turns(sample)[0] == ["user", "Q\nC", False]
