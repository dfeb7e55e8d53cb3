"""Several bundles' findings in the same rows, combined."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from sqsd_lint.rules import (
    Accepted,
    Baseline,
    BundleScores,
    Evaluation,
    ScoreCalibration,
    count_coverage,
    evaluate,
    exit_code,
    load_pack,
    make_policy,
    parse_suppressions,
    subtract_accepted,
)
from sqsd_lint.types import ConsensusRule, Problem, Score, ScoredRow, Severity, Suppression, Violation, Where

CALIBRATION = ScoreCalibration(tuple(score / 10 for score in range(1, 1001)))
NAMES = ("one", "two", "three")
# Scores at which the default pack warns (p99) and errs (p99.9), and one that is neither.
LOW, WARN, ERR = 50.0, 99.5, 101.0


def scored(sqsd: float, line: int, **changes: Any) -> ScoredRow:
    score = Score(f"{line:032x}", sqsd + 1, 1.0, sqsd, 5)
    suppression = changes.pop("suppression", None)
    return ScoredRow(
        Where("a", line, line - 1), f"{line:032x}", "text", replace(score, **changes), suppression=suppression
    )


def problem(line: int, message: str, code: str = "SQSD301") -> Problem:
    return Problem(code, Where("a", line, line - 1), message, fingerprint=f"{line:032x}")


def bundles(*columns: Sequence[ScoredRow | Problem | float], **options: Any) -> list[BundleScores]:
    """A bundle for each column of items; numbers stand for rows of such a score."""
    policy = make_policy(load_pack("default"), CALIBRATION, **options)
    return [
        BundleScores(
            name,
            policy,
            [scored(item, at) if isinstance(item, float) else item for at, item in enumerate(column, 1)],
        )
        for name, column in zip(NAMES, columns, strict=False)
    ]


def found(evaluation: Evaluation) -> list[tuple[str, str, int]]:
    return [(v.rule, v.severity.value, v.where.line) for v in evaluation.found]


def only(evaluation: Evaluation) -> Violation:
    (violation,) = evaluation.found
    return violation


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("any", [("SQSD101", "error"), ("SQSD101", "error"), ("SQSD101", "error"), ("SQSD102", "warning")]),
        ("majority", [("SQSD102", "warning")] * 2 + [("SQSD101", "error"), ("SQSD102", "warning")]),
        ("all", [("SQSD102", "warning")] * 2 + [("SQSD101", "error"), ("SQSD102", "warning")]),
    ],
)
def test_two_bundles(rule: ConsensusRule, expected: list[tuple[str, str]]) -> None:
    evaluation = evaluate(bundles([ERR, ERR, ERR, LOW, LOW], [LOW, WARN, ERR, WARN, LOW]), rule)
    assert [(v.rule, v.severity.value) for v in evaluation.found] == expected
    assert [v.where.line for v in evaluation.found] == [1, 2, 3, 4]


def test_a_finding_says_what_every_bundle_said() -> None:
    (violation,) = evaluate(bundles([ERR], [101.5], [LOW])).found
    assert violation.message == (
        "2 of 3 bundles have it at or above the error line (mean p83.31, maximum p100, agreement 67%): "
        "one p100 (error), two p100 (error), three p49.95"
    )
    assert violation.score is None
    assert violation.percentile == pytest.approx((100 + 100 + 49.95) / 3)
    assert [(o.bundle, o.score.sqsd, o.risky, o.level) for o in violation.opinions] == [
        ("one", ERR, True, Severity.ERROR),
        ("two", 101.5, True, Severity.ERROR),
        ("three", LOW, False, None),
    ]


def test_what_too_few_find_is_a_warning_that_names_them() -> None:
    evaluation = evaluate(bundles([ERR], [LOW], [LOW], severity={"SQSD102": "error"}))
    assert only(evaluation).severity is Severity.WARNING
    assert only(evaluation).message.startswith("only 1 of 3 bundles finds it risky, one (mean")
    evaluation = evaluate(bundles([ERR], [LOW], [WARN]), "all")
    assert only(evaluation).message.startswith("only 2 of 3 bundles find it risky, one and three (mean")


def test_what_is_not_shown_is_counted() -> None:
    evaluation = evaluate(bundles([ERR, ERR], [LOW, ERR], ignore=["SQSD102"]))
    assert found(evaluation) == [("SQSD101", "error", 2)]
    assert "1 row is risky for too few bundles, and SQSD102, which tells so, is off" in evaluation.notes


def test_a_row_counts_as_scored_only_if_every_bundle_has_scored_it() -> None:
    unread = problem(3, "not JSON", "SQSD303")
    zero = scored(0.0, 4, danger=0.0, safety=0.0)
    evaluation = evaluate(
        bundles([LOW, problem(2, "refused"), unread, LOW, zero], [LOW, LOW, unread, zero, replace(zero)])
    )
    assert [row.where.line for row in evaluation.rows] == [1]
    coverage = count_coverage(evaluation.rows, evaluation.problems)
    assert (coverage.scored, coverage.rows) == (1, 5)
    said = {(p.code, p.where.line): p.message for p in evaluation.problems}
    assert said[("SQSD301", 2)] == "one: refused"
    assert said[("SQSD303", 3)] == "not JSON"
    update = "the row's update is zero, so it has no direction"
    assert [p.message for p in evaluation.problems[2:]] == [f"two: {update}", update]
    assert exit_code(evaluation.found, coverage) == 3


def test_a_row_that_one_bundle_cannot_score_is_judged_by_the_others() -> None:
    evaluation = evaluate(bundles([problem(1, "refused")], [ERR], allow=["SQSD301"]))
    assert found(evaluation) == [("SQSD101", "error", 1), ("SQSD301", "warning", 1)]
    assert evaluation.found[0].message.startswith("1 of 2 bundles has it at or above the error line")
    coverage = count_coverage(evaluation.rows, evaluation.problems, allow=["SQSD301"])
    assert exit_code(evaluation.found, coverage) == 1


def test_a_cut_response_names_who_cut_it() -> None:
    cut = scored(LOW, 1, response_lost=5)
    assert only(evaluate(bundles([cut], [LOW]))).message == "one: only 5 of 10 response tokens were scored"
    assert only(evaluate(bundles([cut], [cut]))).message == "only 5 of 10 response tokens were scored"


def test_files_are_judged_by_as_many() -> None:
    risky, benign = [WARN] * 30, [LOW] * 30
    both = only_of(evaluate(bundles(risky, risky)), "SQSD202")
    assert (both.severity, both.where.line) == (Severity.ERROR, 0)
    assert both.message.startswith("2 of 2 bundles: one: 30 of 30 rows")
    one = only_of(evaluate(bundles(risky, benign)), "SQSD202")
    assert one.severity is Severity.WARNING
    assert one.message.startswith("only 1 of 2 bundles: one: 30 of 30 rows")
    # On the same rows it is the finding that one bundle alone has, so that a baseline knows it.
    assert both.fingerprint == one.fingerprint == only_of(evaluate(bundles(risky)), "SQSD202").fingerprint
    more = only_of(evaluate(bundles(risky, [*[WARN] * 29, LOW])), "SQSD202")
    assert more.fingerprint != both.fingerprint


def only_of(evaluation: Evaluation, rule: str) -> Violation:
    (violation,) = (v for v in evaluation.found if v.rule == rule)
    return violation


def test_a_bundle_that_knows_no_drift_has_no_vote_on_it() -> None:
    pushing = [scored(LOW, line, drift=1e5) for line in (1, 2)]
    still = [scored(LOW, line, drift=0.0) for line in (1, 2)]
    evaluation = evaluate(bundles(pushing, [LOW, LOW]))
    assert only(evaluation).severity is Severity.ERROR
    assert evaluation.notes == ("two: SQSD201 is off: this bundle's scores tell no drift",)
    assert only(evaluate(bundles(pushing, still))).severity is Severity.WARNING


def test_the_baseline_and_suppressions_answer_for_findings_of_several() -> None:
    seen = Suppression(("SQSD101",), "seen")
    rows = bundles([ERR, scored(ERR, 2, suppression=seen), ERR], [ERR, scored(ERR, 2, suppression=seen), ERR])
    evaluation = evaluate(rows, files=["a"])
    baseline = Baseline("base.json", os.getcwd()).with_findings([evaluation.found[0]])
    text = f'["{3:032x}"]\nignore = ["SQSD101"]\nreason = "seen"\n'
    suppressions = parse_suppressions(text.encode(), source="s.toml", folder=os.getcwd())
    left = subtract_accepted(evaluation, Accepted(baseline, suppressions), files=["a"])
    assert (left.violations, left.baselined, left.suppressed) == ((), 1, 2)
    # A finding that no bundle has any more is gone; one of a row without a score may still be there.
    gone = subtract_accepted(evaluate(bundles([LOW], [LOW])), Accepted(baseline), files=["a"])
    assert [v.rule for v in gone.violations] == ["SQSD402"]
    unknown = subtract_accepted(
        evaluate(bundles([LOW], [problem(1, "refused")])), Accepted(baseline), files=["a"]
    )
    assert [v.rule for v in unknown.violations] == ["SQSD301"]


def test_what_was_accepted_as_an_error_is_accepted_as_a_warning() -> None:
    alone = evaluate(bundles([ERR]))
    assert only(alone).rule == "SQSD101"
    baseline = Baseline("base.json", os.getcwd()).with_findings(alone.found)
    together = evaluate(bundles([ERR], [LOW]), files=["a"])
    assert only(together).rule == "SQSD102"
    left = subtract_accepted(together, Accepted(baseline), files=["a"])
    assert (left.violations, left.baselined, left.stale) == ((), 1, ())
    assert baseline.pruned(left.acceptable, left.stale).entries == {
        entry for entry in baseline.entries if os.path.lexists(entry.file)
    } | {baseline.entry_of(v) for v in left.acceptable}
    text = f'["{1:032x}"]\nignore = ["SQSD101"]\nreason = "seen"\n'
    suppressions = parse_suppressions(text.encode(), source="s.toml", folder=os.getcwd())
    left = subtract_accepted(together, Accepted(None, suppressions), files=["a"])
    assert (left.violations, left.suppressed) == ((), 1)
    seen = Suppression(("SQSD101",), "seen")
    inline = evaluate(bundles([scored(ERR, 1, suppression=seen)], [LOW]), files=["a"])
    left = subtract_accepted(inline, Accepted(), files=["a"])
    assert (left.violations, left.suppressed) == ((), 1)


def test_a_bundle_without_a_line_has_no_vote_by_it() -> None:
    def evaluation(first: float, raw: float, rule: ConsensusRule = "majority") -> Evaluation:
        one, two = bundles([first], [raw])
        policy = make_policy(load_pack("default"), None, threshold="100")
        assert policy.warning_threshold is None
        return evaluate([one, replace(two, policy=policy)], rule)

    for rule in ("any", "majority", "all"):
        finding = only(evaluation(WARN, LOW, rule))
        assert finding.message.startswith("1 of 1 bundles that have a warning line has it at")
    # Above its error line a row would be above any warning line.
    assert only(evaluation(WARN, ERR)).message.startswith(
        "2 of 2 bundles have it at or above the warning line"
    )
    assert only(evaluation(LOW, ERR)).message.startswith("only 1 of 2 bundles finds it risky, two")
    assert found(evaluation(LOW, LOW)) == []
    assert only(evaluation(ERR, LOW)).message.startswith("1 of 1 bundles that have a warning line has it at")


def test_rules_are_left_out_for_a_file() -> None:
    ignored = {"per_file_ignores": {"a": ["SQSD1"]}}
    evaluation = evaluate(bundles([ERR], [ERR], **ignored))
    assert evaluation.found == []
    assert [opinion.risky for opinion in evaluation.rows[0].opinions] == [False, False]
