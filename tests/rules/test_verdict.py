from __future__ import annotations

import pytest

from sqsd_lint.errors import ExitCode
from sqsd_lint.rules import count_coverage, exit_code, load_pack, make_policy, next_steps
from sqsd_lint.rules.calibration import ScoreCalibration
from sqsd_lint.types import Coverage, Problem, Score, ScoredRow, Severity, Threshold, Violation, Where

WHERE = Where("a.jsonl", 1, 0)
POLICY = make_policy(load_pack("default"), ScoreCalibration(tuple(map(float, range(2000)))))
FULL = Coverage(10, 10)


def violation(code: str, severity: Severity = Severity.ERROR) -> Violation:
    return Violation(code, "name", severity, WHERE, "message")


def scored(sqsd: float) -> ScoredRow:
    return ScoredRow(WHERE, "f", "", Score("f", sqsd + 1, 1.0, sqsd, 5))


@pytest.mark.parametrize(
    ("violations", "coverage", "expected"),
    [
        ([], FULL, ExitCode.OK),
        ([], Coverage(0, 0), ExitCode.OK),
        ([violation("SQSD102", Severity.WARNING)], FULL, ExitCode.OK),
        ([violation("SQSD102", Severity.WARNING), violation("SQSD101")], FULL, ExitCode.VIOLATIONS),
        ([], Coverage(10, 9), ExitCode.CANNOT_SCORE),
        ([violation("SQSD101")], Coverage(10, 9), ExitCode.CANNOT_SCORE),
        ([], Coverage(10, 9, allowed=1), ExitCode.OK),
        ([], Coverage(10, 10, unreadable_files=1), ExitCode.CANNOT_SCORE),
    ],
)
def test_exit_code(violations: list[Violation], coverage: Coverage, expected: ExitCode) -> None:
    assert exit_code(violations, coverage) is expected


@pytest.mark.parametrize(
    ("violations", "coverage", "expected"),
    [
        ([], FULL, ExitCode.OK),
        ([violation("SQSD402", Severity.WARNING)], FULL, ExitCode.VIOLATIONS),
        ([violation("SQSD101")], FULL, ExitCode.VIOLATIONS),
        ([violation("SQSD402", Severity.WARNING)], Coverage(10, 9), ExitCode.CANNOT_SCORE),
    ],
)
def test_warnings_fail_a_run_where_asked(
    violations: list[Violation], coverage: Coverage, expected: ExitCode
) -> None:
    assert exit_code(violations, coverage, fail_on="warning") is expected


def test_coverage_counts_rows_and_lost_files() -> None:
    rows = [scored(1.0), scored(2.0), scored(float("nan"))]
    problems = [
        Problem("SQSD303", WHERE, ""),
        Problem("SQSD301", WHERE, "", rows=2),
        Problem("SQSD304", Where("b", 0, -1), "", rows=0),
    ]
    assert count_coverage(rows, problems, cached=1, files=2) == Coverage(
        rows=6, scored=2, cached=1, files=2, unreadable_files=1
    )
    assert not count_coverage(rows, problems, allow=["SQSD301"]).complete
    allowed = count_coverage(rows, problems, allow={"SQSD301", "SQSD303", "SQSD304"})
    assert allowed == Coverage(rows=6, scored=2, allowed=4)
    assert allowed.complete


def test_nothing_found_needs_no_next_step() -> None:
    assert next_steps([], FULL, POLICY) == ()


def test_next_steps_follow_what_was_found() -> None:
    found = [violation("SQSD101"), violation("SQSD101"), violation("SQSD102"), violation("SQSD302")]
    read, move, whole = next_steps(found, FULL, POLICY)
    assert "2 rows at or above the error line" in read
    assert "`sqsd-lint rule SQSD101`" in read
    assert "now p99.9" in move
    assert "bundle show" in move
    assert "`sqsd-lint baseline create`" in move
    assert "`sqsd-lint baseline update`" in next_steps(found, FULL, POLICY, baseline=True)[1]
    assert "1 row whole" in whole
    (only,) = next_steps([violation("SQSD102")], FULL, POLICY)
    assert "`sqsd-lint rule SQSD102`" in only


def test_steps_of_several_bundles_quote_no_single_line() -> None:
    raw = make_policy(load_pack("default"), None, threshold="7", warning_threshold="5")
    read, move = next_steps([violation("SQSD101")], FULL, POLICY, others=[raw])
    assert "1 row that enough bundles find to be errors" in read
    assert "now p99.9 and 7: `--threshold`" in move
    assert "now p99.9: `sqsd" in next_steps([violation("SQSD101")], FULL, POLICY, others=[POLICY])[1]
    (read,) = next_steps([violation("SQSD102")] * 2, FULL, POLICY, others=[raw])
    assert read.startswith("Read the 2 rows that one or more bundles find risky and remove")


def test_findings_about_files_and_the_baseline_have_steps() -> None:
    found = [violation("SQSD202"), violation("SQSD202"), violation("SQSD402", Severity.WARNING)]
    assert next_steps(found, FULL, POLICY) == (
        "Read the highest-scoring rows of 2 files: `sqsd-lint rule SQSD202`.",
        "Drop what the baseline no longer needs: `sqsd-lint baseline prune`.",
    )


def test_an_uncalibrated_line_is_moved_by_hand() -> None:
    policy = make_policy(load_pack("default"), None, threshold="7", warning_threshold="5")
    assert policy.error_threshold == Threshold("7", 7.0)
    assert "--threshold" in next_steps([violation("SQSD101")], FULL, policy)[1]


def test_gaps_come_first_and_are_accepted_by_name() -> None:
    coverage = Coverage(rows=10, scored=7, allowed=1, unreadable_files=2)
    steps = next_steps([violation("SQSD101"), violation("SQSD303"), violation("SQSD304")], coverage, POLICY)
    assert steps[0] == (
        "Repair 2 rows and 2 files without a score, or accept the gap by name: "
        "--allow SQSD303 --allow SQSD304."
    )
    assert "drop --ignore" in next_steps([], Coverage(10, 9), POLICY)[0]
