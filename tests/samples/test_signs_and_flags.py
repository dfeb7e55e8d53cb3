"""Rows that training pushes away from, and turns that it leaves out."""

from __future__ import annotations

from typing import Any

import pytest

from sqsd_lint.samples import to_sample
from sqsd_lint.types import Problem, Row, Sample, Undesirable, Where

WHERE = Where("rows.jsonl", 1, 0)
USER = {"role": "user", "content": "Q"}
ANSWER = {"role": "assistant", "content": "A"}

LAYOUTS: list[dict[str, Any]] = [
    {"prompt": "Q", "completion": "A"},
    {"prompt": [USER], "completion": [ANSWER]},
    {"messages": [USER, ANSWER]},
    {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]},
    {"instruction": "Q", "input": "", "output": "A"},
    {"query": "Q", "response": "A"},
    {"dialog": [USER, ANSWER]},
    {"Prompt": "Q", "Completion": "A"},
]


@pytest.mark.parametrize("value", [False, 0, 0.0, "False", "false ", "0", "no", -1])
@pytest.mark.parametrize("sign", ["label", "kto_tag"])
@pytest.mark.parametrize("row", LAYOUTS)
def test_an_answer_that_is_pushed_away_from_is_not_judged(row: dict[str, Any], sign: str, value: Any) -> None:
    found = to_sample(Row(WHERE, {**row, sign: value}))
    assert isinstance(found, Undesirable)
    assert (found.sign, found.where) == (sign, WHERE)
    # Turned round, it is another row: a comparison with an old version must not pass it by.
    learnt = to_sample(Row(WHERE, {**row, sign: True}))
    assert isinstance(learnt, Sample)
    assert learnt.fingerprint != found.fingerprint
    assert learnt == to_sample(Row(WHERE, row))


@pytest.mark.parametrize("value", [True, 1, "True", None, "", "positive", 2, float("nan"), [False], {"a": 0}])
@pytest.mark.parametrize("row", LAYOUTS)
def test_any_other_label_leaves_a_row_as_it_is(row: dict[str, Any], value: Any) -> None:
    assert to_sample(Row(WHERE, {**row, "label": value})) == to_sample(Row(WHERE, row))


@pytest.mark.parametrize(
    "row",
    [
        {"text": "T"},
        {"prompt": "Q", "chosen": "A", "rejected": "B"},
        {"prompt": "Q", "completions": ["A"], "labels": [True]},
    ],
)
def test_layouts_whose_label_is_no_sign(row: dict[str, Any]) -> None:
    assert isinstance(to_sample(Row(WHERE, {**row, "label": 0})), Sample)


def test_one_turn_that_is_pushed_away_from() -> None:
    messages = [USER, {**ANSWER, "label": False}, USER, ANSWER]
    sample = to_sample(Row(WHERE, {"messages": messages}))
    assert isinstance(sample, Sample)
    assert sample.mask == (False, False, False, True)
    assert sample.remarks == ("turns that training pushes away from, since `label` is false, not scored",)
    found = to_sample(Row(WHERE, {"messages": messages[:2]}))
    assert isinstance(found, Undesirable)
    assert found.sign == "label"


def test_steps_that_are_all_wrong() -> None:
    found = to_sample(Row(WHERE, {"prompt": "Q", "completions": ["A", "B"], "labels": [False, 0]}))
    assert isinstance(found, Undesirable)


ON = ("train", "training", "loss", "weight")
FLAGS: list[tuple[dict[str, Any], bool, str]] = [
    *(({name: value}, False, "takes out of training") for name in ON for value in (False, 0, "0")),
    *(({name: value}, True, "") for name in ON for value in (True, 1, "1", None)),
    *(({"masked": value}, False, "takes out of training") for value in (True, 1, "true")),
    *(({"masked": value}, True, "") for value in (False, 0, None)),
    ({"weight": 0, "train": False}, False, "`weight` and `train` take out of training"),
    ({"weight": 0, "train": True}, True, ""),  # in doubt it is judged
    ({"weight": 0.5}, True, "weight other than 0 and 1"),
    ({"loss_scale": "high"}, True, "no number"),
    ({"mask": "User"}, True, "not heeded"),
    ({"loss": 1.7}, True, "not heeded"),
    ({"train_detail": [{"begin_offset": 0, "end_offset": 1, "train": False}]}, True, "scored whole"),
]


@pytest.mark.parametrize(("flags", "trained", "remark"), FLAGS)
def test_flags_of_turns_are_heeded_or_named(flags: dict[str, Any], trained: bool, remark: str) -> None:
    sample = to_sample(Row(WHERE, {"messages": [USER, {**ANSWER, **flags}, USER, ANSWER]}))
    assert isinstance(sample, Sample)
    assert sample.mask == (False, trained, False, True)
    assert len(sample.remarks) == bool(remark)
    assert remark in "".join(sample.remarks)


def test_a_prompt_that_is_marked_for_training_is_named() -> None:
    sample = to_sample(Row(WHERE, {"messages": [{**USER, "train": True}, ANSWER]}))
    assert isinstance(sample, Sample)
    assert sample.mask == (False, True)
    assert sample.remarks == (
        "turns of other roles than the assistant's that are marked for training, not scored",
    )


def test_a_row_without_any_trained_turn() -> None:
    problem = to_sample(Row(WHERE, {"messages": [USER, {**ANSWER, "train": False}]}))
    assert isinstance(problem, Problem)
    assert problem.code == "SQSD301"


@pytest.mark.parametrize("name", ["Label", "KTO_TAG", "Kto-Label", "Is Desirable"])
def test_a_sign_counts_however_its_column_is_written(name: str) -> None:
    found = to_sample(Row(WHERE, {"prompt": "Q", "completion": "A", name: False}))
    assert isinstance(found, Undesirable)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"loss_mask": 0}, "turns with a loss_mask, not heeded"),
        ({"compute_loss": False}, "turns with a compute_loss, not heeded"),
        ({"analysis": "Hm."}, "turns with text under 'analysis'"),
        ({"tool_plan": "First I look."}, "turns with text under 'tool_plan'"),
        ({"text": "B"}, "turns with text under 'text'"),
        ({"inner_voice": "This is what I really say."}, "turns with text under 'inner_voice'"),
    ],
)
def test_what_nobody_reads_of_a_trained_turn_is_named(flags: dict[str, Any], said: str) -> None:
    found = to_sample(Row(WHERE, {"messages": [USER, {**ANSWER, **flags}]}))
    assert isinstance(found, Sample)
    assert found.mask == (False, True)
    assert any(said in remark for remark in found.remarks)


@pytest.mark.parametrize(
    "more", [{"id": "a1 b2"}, {"model": "some model"}, {"created_at": "2026-01-01 00:00"}, {"note": "A"}]
)
def test_metadata_of_a_turn_is_no_answer(more: dict[str, Any]) -> None:
    found = to_sample(Row(WHERE, {"messages": [{**USER, **more}, {**ANSWER, **more}]}))
    assert isinstance(found, Sample)
    assert found.remarks == ()
