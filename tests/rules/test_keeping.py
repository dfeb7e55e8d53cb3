"""What a run keeps of its rows and findings: memory grows with neither, and no verdict depends on it."""

from __future__ import annotations

import os
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.common.distribution import ValueCounts
from sqsd_lint.rules import (
    Accepted,
    Baseline,
    BundleScores,
    CoverageCount,
    Evaluation,
    Keeping,
    ScoreCalibration,
    evaluate,
    exit_code,
    load_pack,
    make_policy,
    next_steps,
    parse_suppressions,
    subtract_accepted,
)
from sqsd_lint.rules.file import file_drift_budget
from sqsd_lint.types import Coverage, Problem, Score, ScoredRow, Severity, Suppression, Unlisted, Where

CALIBRATION = ScoreCalibration(tuple(map(float, range(1, 2000))))
POLICY = make_policy(load_pack("default"), CALIBRATION)
LOW, WARN, ERR = 50.0, 1990.0, 3000.0


def row(line: int, sqsd: float = LOW, file: str = "a", **changes: object) -> ScoredRow:
    score = Score(f"{line:032x}", sqsd + 1, 1.0, sqsd, 5, drift=0.0)
    made = ScoredRow(Where(file, line, line - 1), score.fingerprint, "text " * 80, score)
    return replace(made, **changes)  # type: ignore[arg-type]


def evaluated(items: object, keeping: Keeping, files: int = 1) -> Evaluation:
    names = [chr(ord("a") + number) for number in range(files)]
    return evaluate([BundleScores("one", POLICY, items)], files=names, keeping=keeping)  # type: ignore[arg-type]


def peak_kb(rows: int, sqsd: float, keeping: Keeping) -> float:
    """The most memory that evaluating so many rows takes at a time."""

    def items() -> Iterator[ScoredRow]:
        return (row(line, sqsd) for line in range(1, rows + 1))

    evaluated(items(), keeping)  # imports and caches
    tracemalloc.start()
    try:
        evaluated(items(), keeping)
        return tracemalloc.get_traced_memory()[1] / 1000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("sqsd", [LOW, -0.25])
def test_memory_is_flat_in_rows(sqsd: float, monkeypatch: pytest.MonkeyPatch) -> None:
    # The fingerprints of a file, for SQSD201, lie in memory up to a size and then on the disk.
    monkeypatch.setattr(file_drift_budget, "_HELD", 10_000)
    keeping = Keeping(10, lambda violation, row: False, lambda row: False)
    few, many = (peak_kb(rows, sqsd, keeping) for rows in (1_000, 3_000))
    assert many < few + 50
    assert peak_kb(3_000, sqsd, Keeping()) > many + 1_000


@given(
    st.lists(st.sampled_from([LOW, WARN, ERR]), max_size=40),
    st.integers(0, 6),
    st.sampled_from(["error", "warning"]),
)
def test_what_is_not_kept_is_counted(scores: list[float], most: int, fail_on: str) -> None:
    rows = [row(line, score, "ab"[line % 2]) for line, score in enumerate(scores, 1)]
    whole = evaluated(rows, Keeping(), 2)
    some = evaluated(rows, Keeping(most, lambda violation, row: False), 2)
    for severity in Severity:
        kept = [v for v in some.found if v.severity is severity]
        others = sum(each.count for each in some.unlisted if each.severity is severity)
        all_of_them = [v for v in whole.found if v.severity is severity]
        assert len(kept) == min(most, len(all_of_them))
        assert len(kept) + others == len(all_of_them)
        assert all(v in all_of_them for v in kept)
    coverage = Coverage(len(rows), len(rows))
    verdicts = [
        exit_code([*each.found, *each.unlisted], coverage, fail_on=fail_on)  # type: ignore[arg-type]
        for each in (whole, some)
    ]
    assert verdicts[0] == verdicts[1]
    steps = [next_steps(each.found, coverage, POLICY, unlisted=each.unlisted) for each in (whole, some)]
    assert steps[0] == steps[1]


def test_accepted_findings_are_looked_for_beyond_the_limit() -> None:
    rows = [row(line, ERR) for line in range(1, 10)]
    rows[8] = replace(rows[8], suppression=Suppression(("SQSD101",), "seen"))
    baseline = Baseline("base", os.getcwd()).with_findings(evaluated(rows[6:7], Keeping()).found)
    text = f'[{rows[7].fingerprint}]\nignore = ["SQSD101"]\nreason = "seen"\n'.encode()
    accepted = Accepted(baseline, parse_suppressions(text, source="s.toml", folder=os.getcwd()))
    keeping = Keeping(2, accepted.answers, accepted.concerns)
    evaluation = evaluated(rows, keeping)
    left = subtract_accepted(evaluation, accepted, files=["a"])
    rows_alone = [v for v in left.violations if v.rule == "SQSD101"]
    assert [v.where.line for v in rows_alone] == [1, 2]
    # None of the entries is called needless: their findings are there.
    assert not [v for v in left.violations if v.rule in ("SQSD401", "SQSD402")]
    assert (left.baselined, left.suppressed) == (1, 2)
    (unlisted,) = [each for each in evaluation.unlisted if each.rule == "SQSD101"]
    assert unlisted == Unlisted("SQSD101", "high-risk-sample", Severity.ERROR, "a", 4)


def test_rows_without_a_score_are_counted_and_files_kept() -> None:
    lost = [Problem("SQSD303", Where("a", line, line - 1), "not JSON") for line in range(1, 9)]
    unread = Problem("SQSD304", Where("b", 0, -1), "no such file", rows=0)
    count = CoverageCount()
    keeping = Keeping(3, lambda violation, row: False, watch=count.add)
    evaluation = evaluated([*lost, unread, row(9)], keeping, 2)
    assert evaluation.problems == [unread]
    assert len([v for v in evaluation.found if v.rule == "SQSD303"]) == 3
    coverage = count.coverage()
    assert (coverage.rows, coverage.scored, coverage.unreadable_files) == (9, 1, 1)


@given(st.lists(st.floats(allow_infinity=False).map(abs), max_size=60))
def test_few_values_are_counted_as_they_are(values: list[float]) -> None:
    found = ValueCounts()
    for value in values:
        found.add(value)
    assert Counter(map(repr, found.counts.elements())) == Counter(map(repr, values))


def test_very_many_values_are_rounded_and_none_is_lost() -> None:
    found = ValueCounts()
    for number in range(250_000):
        found.add(1 + number / 250_000)
    assert sum(found.counts.values()) == 250_000
    assert len(found.counts) <= 1001
    assert all(abs(value - round(value, 3)) < 1e-9 for value in found.counts)
