"""Rows near a line that are left out of the second look change nothing; those that could are all in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from sqsd_lint.common.reference_range import ReferenceRange
from sqsd_lint.rules import (
    Accepted,
    Baseline,
    BaselineEntry,
    BundleScores,
    Policy,
    ScoreCalibration,
    SecondLook,
    count_coverage,
    evaluate,
    exit_code,
    is_near,
    load_pack,
    make_policy,
    parse_suppressions,
    subtract_accepted,
)
from sqsd_lint.rules.findings import CAVEAT
from sqsd_lint.types import AnswerPart, Score, ScoredRow, Suppression, Where

TOLERANCE = 0.5
LINES = {"threshold": "12", "warning_threshold": "10"}
CALIBRATION = ScoreCalibration(
    tuple(score / 100 for score in range(1, 1000)),
    covered=ReferenceRange((2, 20), ((20, 1.0, 3.0),), ("Latin",), ("an answer",)),
)
CODES = ["SQSD101", "SQSD102", "SQSD202"]
FILES = ["a", "b"]
LOSSES = [0.5, 2.0, 5.0]


def row(
    risk: float,
    line: int = 1,
    file: str = "a",
    *,
    tokens: int = 5,
    loss: float = 2.0,
    suppression: Suppression | None = None,
) -> ScoredRow:
    score = Score(f"{line:032x}", risk + 1, 1.0, risk, tokens, loss=loss, drift=0.0)
    return ScoredRow(Where(file, line, line - 1), score.fingerprint, "text", score, suppression=suppression)


@dataclass(frozen=True)
class Run:
    """A policy, what was accepted before, and rows as a fast mode and exact mode have scored them."""

    policy: Policy
    accepted: Accepted
    fast: list[ScoredRow]
    exact: list[ScoredRow]


codes = st.lists(st.sampled_from(CODES), unique=True, max_size=2)
named = st.lists(st.sampled_from(CODES[:2]), unique=True, min_size=1)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    relative = draw(st.booleans())  # rows unlike the calibration are errors by a raw line, and not by a rate
    lines = {"threshold": "z3", "warning_threshold": "p99"} if relative else LINES
    options: dict[str, Any] = {
        "ignore": draw(codes),
        "per_file_ignores": {"a": draw(codes)} if draw(st.booleans()) else {},
        "severity": {code: draw(st.sampled_from(["error", "warning"])) for code in draw(codes)},
    }
    policy = make_policy(load_pack("default"), CALIBRATION, **lines, **options)
    share = {"significance": draw(st.sampled_from([0.001, 0.5])), "min-rows": draw(st.integers(1, 4))}
    return replace(policy, options={**policy.options, "SQSD202": share})


@st.composite
def runs(draw: st.DrawFn) -> Run:
    policy = draw(policies())
    lines = [line.value for line in policy.distinct_thresholds] or [12.0, 10.0]
    fast, exact, entries, suppressed = [], [], [], {}
    offset = st.floats(-TOLERANCE, TOLERANCE)
    for line in range(1, draw(st.integers(1, 6)) + 1):
        risk = draw(st.sampled_from([*lines, min(lines) - 5])) + draw(offset)
        own = Suppression(tuple(draw(named)), "why") if draw(st.integers(0, 3)) == 0 else None
        file, tokens = draw(st.sampled_from(FILES)), draw(st.sampled_from([5, 50]))
        one = row(risk, line, file, tokens=tokens, loss=draw(st.sampled_from(LOSSES)), suppression=own)
        fast.append(one)
        near = [each for each in lines if abs(risk - each) <= TOLERANCE]
        sides = [risk, *(each + step for each in near for step in (0.0, -1e-9, 1e-9))]
        found = draw(st.sampled_from([each for each in sides if abs(each - risk) <= TOLERANCE]))
        loss = draw(st.sampled_from(LOSSES))
        # Exact mode moves more than risk and loss, which no rule about a row reads.
        exact.append(replace(one, score=replace(one.score, risk=found, loss=loss, sqsd=found, exact=True)))
        if draw(st.integers(0, 2)) == 0:
            entries += [BaselineEntry(file, one.fingerprint, code) for code in draw(named)]
        if draw(st.integers(0, 3)) == 0:
            suppressed[one.fingerprint] = draw(named)
    text = "\n".join(f'[{key}]\nignore = {list(value)}\nreason = "why"' for key, value in suppressed.items())
    accepted = Accepted(
        Baseline("base.json", os.getcwd(), frozenset(entries)),
        parse_suppressions(text.encode(), source="s.toml", folder=os.getcwd()),
        draw(st.booleans()),
    )
    return Run(policy, accepted, fast, exact)


def outcome(run: Run, rows: Sequence[ScoredRow], *, behind: bool = False) -> dict[str, object]:
    """Return all that a report says, apart from the figures in words; and `behind` it, for a new baseline."""
    evaluation = evaluate([BundleScores("one", run.policy, rows)], files=FILES)
    left = subtract_accepted(evaluation, run.accepted, files=FILES)
    coverage = count_coverage(rows, ())

    def told(violations: Sequence[Any]) -> list[tuple[object, ...]]:
        return [
            (
                each.rule,
                each.severity,
                each.where,
                each.fingerprint,
                CAVEAT in each.message,
                each.message if each.rule not in CODES[:2] else "",
            )
            for each in violations
        ]

    said: dict[str, object] = {
        "violations": told(left.violations),
        "counts": (left.baselined, left.suppressed, coverage),
        "exit": [exit_code(left.violations, coverage, fail_on=on) for on in ("error", "warning")],
        "notes": left.notes,
        "stale": left.stale,
    }
    return said | ({"acceptable": told(left.acceptable)} if behind else {})


def looked_at(run: Run, accepted: Accepted | None) -> tuple[list[ScoredRow], int, int]:
    """Return the rows as they are judged, how many were near a line, and how many were scored again."""
    second_look = SecondLook(run.policy, accepted)
    near = [is_near(each.score, run.policy.distinct_thresholds, TOLERANCE) for each in run.fast]
    again = [at and second_look.decides(each, TOLERANCE) for at, each in zip(near, run.fast, strict=True)]
    rows = [exact if own else fast for own, fast, exact in zip(again, run.fast, run.exact, strict=True)]
    return rows, sum(near), sum(again)


@given(runs(), st.booleans())
def test_no_verdict_depends_on_a_row_that_is_left_out(run: Run, behind: bool) -> None:
    judged, near, again = looked_at(run, None if behind else run.accepted)
    every = [
        exact if is_near(fast.score, run.policy.distinct_thresholds, TOLERANCE) else fast
        for fast, exact in zip(run.fast, run.exact, strict=True)
    ]
    assert outcome(run, judged, behind=behind) == outcome(run, every, behind=behind)
    event("some near row left out" if again < near else "none left out")


def decides(one: ScoredRow, accepted: Accepted | None = None, **options: Any) -> bool:
    policy = make_policy(load_pack("default"), CALIBRATION, **{**LINES, **options})
    return SecondLook(policy, accepted).decides(one, TOLERANCE)


ERROR, WARNING = 12.1, 9.9


@pytest.mark.parametrize("risk", [ERROR, WARNING])
def test_a_row_near_a_line_in_force_is_scored_again(risk: float) -> None:
    assert decides(row(risk))
    assert decides(row(risk), Accepted())


@pytest.mark.parametrize(
    ("risk", "options"),
    [
        (WARNING, {"ignore": ["SQSD102", "SQSD202"]}),
        (WARNING, {"per_file_ignores": {"a": ["SQSD1", "SQSD2"]}}),
        (ERROR, {"per_file_ignores": {"a": ["SQSD101"]}}),
        (ERROR, {"per_file_ignores": {"a": ["SQSD1"]}}),
    ],
)
def test_a_line_that_is_out_of_force_for_the_file_asks_for_nothing(
    risk: float, options: dict[str, Any]
) -> None:
    assert not decides(row(risk), **options)
    other = {"ignore": options.get("ignore", ()), "per_file_ignores": {}}
    assert decides(row(risk, file="b"), **other) is ("ignore" not in options)


def test_a_file_s_share_counts_rows_that_no_rule_about_rows_reports() -> None:
    assert decides(row(WARNING), per_file_ignores={"a": ["SQSD1"]})
    # A rate says nothing of a row unlike the reference rows: it is not counted on either side.
    rate = {"threshold": "z3", "warning_threshold": "p99", "per_file_ignores": {"a": ["SQSD1"]}}
    assert decides(row(CALIBRATION.value_at(99)), **rate)
    assert not decides(row(CALIBRATION.value_at(99), tokens=50), **rate)


def test_a_row_unlike_the_reference_rows_is_a_warning_on_either_side_of_the_error_line() -> None:
    rate = {"threshold": "z3", "warning_threshold": "p50"}
    line = CALIBRATION.mean + 3 * CALIBRATION.spread
    assert not decides(row(line, tokens=50), **rate)
    assert decides(row(line), **rate)
    assert decides(row(line, loss=9.0), **rate), "its exact loss may be like theirs"


def accepting(*rules: str, by: str) -> Accepted:
    entries = frozenset(BaselineEntry("a", row(0).fingerprint, code) for code in rules)
    text = f'[{row(0).fingerprint}]\nignore = {list(rules)}\nreason = "why"'
    if by == "baseline":
        return Accepted(Baseline("base.json", os.getcwd(), entries))
    return Accepted(suppressions=parse_suppressions(text.encode(), source="s", folder=os.getcwd()))


@pytest.mark.parametrize("by", ["baseline", "suppressions"])
def test_an_accepted_row_matters_where_what_accepts_it_may_be_out_of_use(by: str) -> None:
    assert not decides(row(ERROR), accepting("SQSD101", by=by)), "either finding is accepted"
    assert decides(row(ERROR), accepting("SQSD102", by=by)), "an error is not"
    assert decides(row(ERROR), accepting("SQSD101", "SQSD102", by=by)), "the second may be needless"
    assert decides(row(WARNING), accepting("SQSD101", by=by)), "below the line there is nothing to accept"
    assert decides(row(ERROR)), "who looks at accepted findings is told which they are"


def test_a_row_accepts_itself_only_where_that_is_in_force() -> None:
    own = row(ERROR, suppression=Suppression(("SQSD101",), "why"))
    assert not decides(own, Accepted())
    assert decides(own, Accepted(inline=False))


@pytest.mark.parametrize(
    "changes",
    [
        {"window": AnswerPart(1, 2, 0, 5, 9, 1), "whole": row(5).score},
        {"bound": WARNING, "danger": float("nan")},
        {"danger": 0.0},
    ],
)
def test_rows_that_exact_mode_may_judge_by_something_else_are_always_scored_again(
    changes: dict[str, Any],
) -> None:
    everything_off = {"per_file_ignores": {"a": ["SQSD1", "SQSD2"]}}
    one = row(WARNING)
    assert not decides(one, **everything_off)
    assert decides(replace(one, score=replace(one.score, **changes)), **everything_off)
