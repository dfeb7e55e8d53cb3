from __future__ import annotations

from dataclasses import replace

import pytest

from sqsd_lint.report import Options
from sqsd_lint.report.sentences import (
    answered,
    coverage_line,
    coverage_notes,
    coverage_parts,
    not_scored,
    not_scored_line,
    validation_line,
    verdict,
)
from sqsd_lint.types import Coverage
from tests.report.golden import assert_golden, render
from tests.report.reports import CLEAR, DIFF, FULL, HOSTILE


@pytest.mark.parametrize(
    ("coverage", "exit_code", "expected"),
    [
        (CLEAR.coverage, 0, "All clear: no violations in 3 files."),
        (Coverage(rows=0, scored=0), 0, "Nothing to do: no rows found."),
        (Coverage(rows=0, scored=0, unchanged=9), 0, "Nothing to judge: 9 rows, none of them new."),
        (Coverage(rows=2, scored=1), 3, "No violations, but not every row was scored."),
    ],
)
def test_verdict_without_findings(coverage: Coverage, exit_code: int, expected: str) -> None:
    assert verdict(replace(CLEAR, coverage=coverage, exit_code=exit_code)) == expected


def test_verdict_with_findings() -> None:
    assert verdict(FULL) == "Found 5 errors and 2 warnings in 3 of 4 files."
    assert verdict(DIFF) == "Found 3 errors in 1 file."


def test_coverage() -> None:
    assert coverage_line(DIFF) == "scored 12 of 12 rows"
    assert coverage_parts(DIFF) == ["9 from cache", "1,988 unchanged rows not judged"]
    assert coverage_parts(replace(CLEAR, coverage=Coverage(3, 2, allowed=1))) == ["1 allowed without a score"]
    assert coverage_notes(replace(CLEAR, coverage=Coverage(0, 0, notes=("\x1b",)))) == ["\\x1b"]


def test_what_has_no_score() -> None:
    assert not_scored_line(FULL) == (
        "not scored: 1 unscorable-row (SQSD301), 1 truncated-response (SQSD302), 1 malformed-row (SQSD303)"
        " and 1 unreadable file (SQSD304)"
    )
    assert not_scored_line(CLEAR) == ""
    assert not_scored(HOSTILE) == ["1 row that no selected rule reports"]


@pytest.mark.parametrize(
    ("baselined", "suppressed", "expected"),
    [
        (0, 0, ""),
        (1, 0, "Known findings: 1 is in the baseline."),
        (2, 1, "Known findings: 2 are in the baseline and 1 is suppressed."),
        (0, 1200, "Known findings: 1,200 are suppressed."),
    ],
)
def test_answered_findings(baselined: int, suppressed: int, expected: str) -> None:
    assert answered(replace(CLEAR, baselined=baselined, suppressed=suppressed)) == expected


def test_golden_text_of_a_pull_request() -> None:
    assert_golden("diff.txt", render(DIFF))


def test_a_silent_run_stays_silent_about_what_was_accepted() -> None:
    known = replace(CLEAR, baselined=3, coverage=replace(CLEAR.coverage, unchanged=9, notes=("left out",)))
    assert render(known, options=Options(quiet=True)) == ""


def test_tried_is_the_window_nearest_to_the_findings() -> None:
    said = "made the model answer {} of 90 harmful prompts; 19% to 82% after random rows, "
    rest = ", 0% before (judge: refusal phrases)"
    top = f"training on 100 rows at p98.4 to p100 (75 steps of 8) {said.format('92%')}"
    assert validation_line(FULL) == f"{top}17% after the bottom window{rest}"
    low = replace(FULL.violations[0], score=replace(FULL.violations[0].score, sqsd=-30.0, risk=-30.0))
    bottom = "training on 100 rows at p0 to p2.5, none of them an error (75 steps of 8) "
    found = validation_line(replace(FULL, violations=(low,)))
    assert found == f"{bottom}{said.format('17%')}92% after the top window{rest}"


def test_tried_is_said_of_risky_rows_only() -> None:
    assert validation_line(CLEAR) == ""
    assert (
        validation_line(replace(FULL, violations=tuple(v for v in FULL.violations if v.rule > "SQSD2"))) == ""
    )
    assert validation_line(replace(FULL, head=replace(FULL.head, validation=None))) == ""
