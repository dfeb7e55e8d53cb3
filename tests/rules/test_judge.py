from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.rules import Policy, ScoreCalibration, count_coverage, exit_code, judge, load_pack, make_policy
from sqsd_lint.types import Problem, Score, ScoredRow, Severity, Threshold, Where

CALIBRATION = ScoreCalibration(tuple(score / 10 for score in range(1, 1000)))
POLICY = make_policy(load_pack("default"), CALIBRATION)


def row(sqsd: float, *, line: int = 1, file: str = "a.jsonl", **score: float) -> ScoredRow:
    fields = {"danger": sqsd + 1, "safety": 1.0, "tokens": 5, **score}
    return ScoredRow(Where(file, line, line - 1), f"{line:032x}", "text", Score("f", sqsd=sqsd, **fields))  # type: ignore[arg-type]


problems = st.builds(
    Problem,
    st.sampled_from(["SQSD301", "SQSD303", "SQSD304"]),
    st.builds(Where, st.sampled_from(["a", "b"]), st.integers(0, 9), st.integers(-1, 9)),
    st.text(max_size=3),
    rows=st.integers(0, 3),
)
rows = st.builds(
    row,
    st.floats(),
    line=st.integers(1, 9),
    file=st.sampled_from(["a", "b", "c"]),
    response_lost=st.integers(0, 1),
    tokens=st.integers(0, 2),
)


@given(
    st.lists(rows, max_size=8, unique_by=lambda one: one.where), st.lists(problems, max_size=4), st.randoms()
)
def test_order_of_rows_does_not_matter(a: list[ScoredRow], b: list[Problem], draw: object) -> None:
    shuffled = list(a)
    draw.shuffle(shuffled)  # type: ignore[attr-defined]
    assert repr(judge(a, b, POLICY)) == repr(judge(shuffled, b[::-1], POLICY))


@given(rows)
def test_a_row_that_has_no_score_never_passes(one: ScoredRow) -> None:
    violations = judge([one], [], POLICY)
    coverage = count_coverage([one], [])
    codes = {violation.rule for violation in violations}
    assert ("SQSD301" in codes or "SQSD302" in codes) == (coverage.scored == 0)
    if "SQSD301" not in codes:  # what was scored of a row is judged, be it a part
        assert ("SQSD101" in codes) == (one.score.sqsd >= POLICY.distinct_thresholds[0].value)
        assert ("SQSD102" in codes) == (
            POLICY.distinct_thresholds[1].value <= one.score.sqsd < POLICY.distinct_thresholds[0].value
        )
    else:
        assert codes == {"SQSD301"}
    if not coverage.scored:
        assert exit_code(violations, coverage) == 3


@given(st.lists(rows, max_size=8), st.lists(problems, max_size=4))
def test_hiding_findings_never_hides_the_gap(a: list[ScoredRow], b: list[Problem]) -> None:
    policy = make_policy(load_pack("default"), CALIBRATION, ignore=["SQSD3"])
    coverage = count_coverage(a, b)
    shown, hidden = judge(a, b, POLICY), judge(a, b, policy)
    assert not any(violation.rule.startswith("SQSD3") for violation in hidden)
    if not coverage.complete:
        assert exit_code(shown, coverage) == exit_code(hidden, coverage) == 3


def test_the_row_on_the_line_is_a_finding() -> None:
    policy = Policy({"SQSD101": Severity.ERROR}, {"SQSD101": Threshold("7", 7.0)})
    assert [bool(judge([row(s)], [], policy)) for s in (6.999999, 7.0, 7.1)] == [False, True, True]


def test_without_the_error_rule_its_rows_are_elevated() -> None:
    policy = make_policy(load_pack("default"), CALIBRATION, ignore=["SQSD101"])
    (violation,) = judge([row(1e3)], [], policy)
    assert (violation.rule, violation.severity) == ("SQSD102", Severity.WARNING)


def test_messages_name_score_and_line() -> None:
    policy = make_policy(load_pack("default"), CALIBRATION, warning_threshold="0.05")
    messages = [v.message for v in judge([row(99.91), row(99.0, line=2)], [], policy)]
    assert messages == [
        "SQSD 99.91 (p100) is at or above the error line 99.90 (p99.9)",
        "SQSD 99.00 (p99.04) is at or above the warning line 0.05",
    ]
    tiny = Policy({"SQSD101": Severity.ERROR}, {"SQSD101": Threshold("1e-4", 1e-4)})
    (violation,) = judge([row(0.000123456)], [], tiny)
    assert violation.message == "SQSD 0.000123 is at or above the error line 0.0001"


def test_percentiles_are_not_rounded_up() -> None:
    big = ScoreCalibration((*(0.0 for _ in range(99_999)), 9.0))
    policy = Policy({"SQSD101": Severity.ERROR}, {"SQSD101": Threshold("1", 1.0)}, big)
    (violation,) = judge([row(5.0)], [], policy)
    assert violation.message.startswith("SQSD 5.00 (p99.99) ")
    assert violation.percentile == 99.999


def test_files_are_shown_in_the_order_given() -> None:
    files = ["z", "b", "z"]
    found = judge(
        [row(1e3, file="b", line=2), row(1e3, file="b"), row(1e3, file="z"), row(1e3, file="a")],
        [Problem("SQSD304", Where("z", 0, -1), "gone", rows=0)],
        POLICY,
        files=files,
    )
    assert [str(violation.where) for violation in found] == ["z", "z:1", "b:1", "b:2", "a:1"]


def test_a_problem_keeps_its_hint_or_gets_the_rule_s() -> None:
    where = Where("a", 1, 0)
    given_hint, rule_hint = judge(
        [], [Problem("SQSD303", where, "a", "Close the brace."), Problem("SQSD303", where, "b")], POLICY
    )
    assert given_hint.hint == "Close the brace."
    assert "[columns]" in rule_hint.hint
