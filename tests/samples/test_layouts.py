from __future__ import annotations

import datetime
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.samples import LAYOUTS, Reading, to_sample
from sqsd_lint.samples.layouts import Layout
from sqsd_lint.types import Problem, Row, Sample, Where

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CASES = json.loads(Path(__file__).with_name("cases.json").read_text(encoding="utf-8"))
WHERE = Where("rows.jsonl", 3, 2)


def turns(sample: Sample) -> list[list[Any]]:
    return [
        [message.role, message.content, trained, *([message.extra] if message.extra else [])]
        for message, trained in zip(sample.messages, sample.mask, strict=True)
    ]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_schema(case: dict[str, Any]) -> None:
    result = to_sample(Row(WHERE, case["row"]))
    assert result.where == WHERE
    if "code" in case:
        assert isinstance(result, Problem)
        assert result.code == case["code"]
        assert case.get("message", "") in result.message
        # A row without anything to learn is still known by what it holds; a malformed one is not.
        assert bool(result.fingerprint) == (result.code == "SQSD301")
    else:
        assert isinstance(result, Sample)
        assert turns(result) == case["turns"]
        assert result.schema == case.get("schema", result.schema)
        assert list(result.tools) == case.get("tools", [])
        if "remarks" in case:
            assert sorted(result.remarks) == case["remarks"]


@pytest.mark.parametrize("layout", LAYOUTS, ids=[layout.name for layout in LAYOUTS])
def test_every_layout_has_a_case(layout: Layout) -> None:
    own = [case for case in CASES if case["name"].split(":")[0].split(" ")[0] == layout.name]
    if layout.read is None:
        assert any(case.get("code") == "SQSD303" and layout.name in case["message"] for case in own)
        assert layout.why
        assert layout.mend
    else:
        assert any(case.get("schema") == layout.name for case in own)
        assert layout.used_by


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({"utterance": "Hello there"}, 'columns = { text = "utterance" }'),
        ({"utterance": "Q", "riposte": "A"}, 'columns = { prompt = "utterance", response = "riposte" }'),
        ({"riposte": "A", "question": "Q"}, 'columns = { prompt = "question", response = "riposte" }'),
        ({"id": 1, "talk": [{"role": "user", "content": "Q"}]}, 'columns = { messages = "talk" }'),
    ],
)
def test_an_unknown_layout_is_mended_by_the_line_that_the_hint_gives(row: dict[str, Any], line: str) -> None:
    problem = to_sample(Row(WHERE, row))
    assert isinstance(problem, Problem)
    assert "no known layout" in problem.message
    assert line in problem.hint
    table = tomllib.loads(line)["columns"]
    mended = to_sample(Row(WHERE, row), Reading.from_tables(table))
    assert not isinstance(mended, Problem) or mended.code == "SQSD301"


def test_hostile_keys_do_not_flood_the_message() -> None:
    problem = to_sample(Row(WHERE, {f"{n}\x1b[31m" + "k" * 10_000: "v" * 10_000 for n in range(1000)}))
    assert isinstance(problem, Problem)
    assert len(problem.message) < 1500
    assert "\x1b" not in problem.message
    assert "and 988 more" in problem.message
    assert len(problem.excerpt) < 1000


@pytest.mark.parametrize("value", [b"A", datetime.datetime(2020, 1, 1), {"bytes": b""}])
def test_values_of_columnar_formats(value: Any) -> None:
    problem = to_sample(Row(WHERE, {"prompt": "Q", "response": value}))
    assert isinstance(problem, Problem)
    assert problem.code == "SQSD303"


def test_the_nan_that_pandas_writes_is_a_missing_value() -> None:
    sample = to_sample(
        Row(WHERE, {"instruction": "Q", "input": math.nan, "output": "A", "messages": math.nan})
    )
    assert isinstance(sample, Sample)
    assert turns(sample) == [["user", "Q", False], ["assistant", "A", True]]
    problem = to_sample(Row(WHERE, {"instruction": "Q", "output": math.nan}))
    assert isinstance(problem, Problem)
    assert problem.code == "SQSD301"


def test_tool_calls_that_no_json_holds() -> None:
    calls = [{"arguments": b"\xff"}]
    row = {"messages": [{"role": "assistant", "content": "A", "tool_calls": calls}]}
    problem = to_sample(Row(WHERE, row))
    assert isinstance(problem, Problem)
    assert problem.code == "SQSD303"


DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not beside the repository")
@pytest.mark.parametrize(
    ("name", "schema", "rows"),
    [
        ("alpaca_1904.jsonl", "alpaca", 1904),
        ("dolly_387.jsonl", "dolly", 387),
        ("gsm8k_1500.jsonl", "question-answer", 1500),
        ("hh_harmless_pairs.jsonl", "preference", 658),
        ("pure_bad_100.jsonl", "messages", 100),
        ("safety_instructions.jsonl", "alpaca", 2483),
    ],
)
def test_real_files(name: str, schema: str, rows: int) -> None:
    from sqsd_lint.read import read_rows

    results = [to_sample(row) for row in read_rows(str(DATA / name)) if isinstance(row, Row)]
    assert len(results) == rows
    unscorable = [result for result in results if isinstance(result, Problem)]
    assert {problem.code for problem in unscorable} <= {"SQSD301"}
    assert len(unscorable) <= rows // 100
    assert {result.schema for result in results if isinstance(result, Sample)} == {schema}


@pytest.mark.parametrize("name", ["System", "SYSTEM", "System Prompt", "system-message"])
def test_what_stands_beside_prompt_and_answer_is_known_however_it_is_written(name: str) -> None:
    row = {"question": "Q", "answer": "A"}
    plain, beside = to_sample(Row(WHERE, row)), to_sample(Row(WHERE, {**row, name: "S"}))
    assert isinstance(plain, Sample)
    assert isinstance(beside, Sample)
    assert beside.messages[0].role == "system"
    assert beside.fingerprint != plain.fingerprint
    assert beside.fingerprint == to_sample(Row(WHERE, {**row, "system": "S"})).fingerprint
