"""One JSON file of cases per rule: scores and problems in, findings and exit code out.

The calibration has the benign scores 1, 2, ..., 999 and the harmful scores 900, 950 and 1000, so that every
line is a round number. A case has `name`, `rows` and `problems` (lines count from 1 unless given; `times`
repeats a row), `pack`, `options` (as `make_policy` takes them), `training`, `baseline` (the file's findings),
`suppressions` (TOML), `inline` (whether rows may suppress), `expect` (the fields that matter, in order) and
`exit`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.rules import (
    Accepted,
    BundleScores,
    FineTuneSettings,
    ScoreCalibration,
    count_coverage,
    evaluate,
    exit_code,
    load_pack,
    make_policy,
    parse_baseline,
    parse_suppressions,
    subtract_accepted,
)
from sqsd_lint.rules.registry import RULES
from sqsd_lint.samples.inline_suppression import read_suppression
from sqsd_lint.types import AnswerWindow, Problem, Score, ScoredRow, Violation, Where

FOLDER = Path(__file__).parent / "cases"
CALIBRATION = ScoreCalibration(tuple(map(float, range(1, 1000))), (900.0, 950.0, 1000.0))
CASES = [
    pytest.param(path.stem, case, id=f"{path.stem}-{case['name']}")
    for path in sorted(FOLDER.glob("*.json"))
    for case in json.loads(path.read_text(encoding="utf-8"))
]


def make_row(line: int, fields: dict[str, Any]) -> ScoredRow:
    danger, safety = float(fields["danger"]), float(fields["safety"])
    score = Score(
        f"{line:032x}",
        danger,
        safety,
        danger - safety,
        fields.get("tokens", 10),
        fields.get("truncated", ""),
        fields.get("response_lost", 0),
        drift=float(fields.get("drift", "nan")),
        window=AnswerWindow(*fields["window"]) if "window" in fields else None,
    )
    where = Where("data.jsonl", line, line - 1)
    suppression = read_suppression(fields)
    invisible = tuple((name, count) for name, count in fields.get("invisible", {}).items())
    return ScoredRow(where, score.fingerprint, "text", score, suppression=suppression, invisible=invisible)


def make_accepted(case: dict[str, Any]) -> Accepted:
    here = os.getcwd()
    document = {"version": 1, "findings": {"data.jsonl": case.get("baseline", {})}}
    return Accepted(
        parse_baseline(json.dumps(document).encode(), source="baseline", folder=here),
        parse_suppressions(case.get("suppressions", "").encode(), source="suppressions", folder=here),
        case.get("inline", True),
    )


def make_problem(fields: dict[str, Any]) -> Problem:
    where = Where("data.jsonl", fields["line"], fields["line"] - 1)
    return Problem(fields["code"], where, fields.get("message", "wrong"), rows=fields.get("rows", 1))


def seen(violation: Violation, wanted: dict[str, Any]) -> dict[str, Any]:
    assert violation.name == RULES[violation.rule].name
    assert violation.hint
    everything = {
        "rule": violation.rule,
        "severity": violation.severity.value,
        "line": violation.where.line,
        "message": violation.message,
    }
    return {key: everything[key] for key in wanted}


def test_every_rule_has_cases() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(RULES)


@pytest.mark.parametrize(("code", "case"), CASES)
def test_case(code: str, case: dict[str, Any]) -> None:
    repeated = [fields for fields in case.get("rows", []) for _ in range(fields.get("times", 1))]
    rows = [make_row(line, fields) for line, fields in enumerate(repeated, start=1)]
    problems = [make_problem(fields) for fields in case.get("problems", [])]
    options = {**case.get("options", {}), "fine_tune": FineTuneSettings(**case.get("training", {}))}
    policy = make_policy(load_pack(case.get("pack", "default")), CALIBRATION, **options)
    evaluation = evaluate([BundleScores("one", policy, [*rows, *problems])], files=["data.jsonl"])
    left = subtract_accepted(evaluation, make_accepted(case), files=["data.jsonl"])
    violations = left.violations
    assert len(violations) == len(case["expect"])
    for violation, wanted in zip(violations, case["expect"], strict=True):
        assert seen(violation, wanted) == wanted
    assert exit_code(violations, count_coverage(rows, problems, allow=policy.allow)) == case["exit"]
