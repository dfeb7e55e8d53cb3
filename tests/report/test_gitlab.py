from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from sqsd_lint.report import Options
from sqsd_lint.types import Report
from tests.report.golden import assert_golden, render
from tests.report.reports import CLEAR, DIFF, FULL, HOSTILE, MARKUP

pytestmark = pytest.mark.usefixtures("repository")

# https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
TEXT = {"type": "string", "minLength": 1}
SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "description": TEXT,
            "check_name": TEXT,
            "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "properties": {
                    "path": {"type": "string", "pattern": r"^(?!\./)"},
                    "lines": {
                        "type": "object",
                        "properties": {"begin": {"type": "integer", "minimum": 1}},
                        "required": ["begin"],
                    },
                },
                "required": ["path", "lines"],
            },
        },
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
    },
}


def load(report: Report, options: Options | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(render(report, "gitlab", options))
    return found


@pytest.mark.parametrize(("name", "report"), [("full", FULL), ("diff", DIFF), ("hostile", HOSTILE)])
def test_golden(name: str, report: Report) -> None:
    assert_golden(f"{name}.gitlab.json", render(report, "gitlab"))


@pytest.mark.parametrize("report", [FULL, DIFF, CLEAR, HOSTILE, MARKUP])
def test_the_format_is_gitlabs(report: Report) -> None:
    found = load(report)
    jsonschema.validate(found, SCHEMA)
    assert len(found) == len(report.violations)
    assert len({each["fingerprint"] for each in found}) == len(found)


def test_nothing_found_is_an_empty_array() -> None:
    assert render(CLEAR, "gitlab") == "[]\n"


def test_equal_rows_are_two_findings_that_survive_moving() -> None:
    twins = {each["fingerprint"] for each in load(DIFF)}
    assert len(twins) == 3
    moved = [replace(v, where=replace(v.where, line=v.where.line * 2)) for v in DIFF.violations]
    assert {each["fingerprint"] for each in load(replace(DIFF, violations=tuple(moved)))} == twins


def test_paths_start_at_the_root_of_the_repository(repository: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "sub").mkdir()
    monkeypatch.chdir(repository / "sub")
    assert {each["location"]["path"] for each in load(DIFF)} == {"sub/data/train.jsonl"}


def test_redact_shows_the_fingerprint() -> None:
    shown = load(FULL, Options(redact=True))[2]["description"]
    assert shown.endswith(f"| fingerprint {48:032x}")
