"""What acceptance may change, and above all what it may not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.rules import (
    Accepted,
    Baseline,
    BundleScores,
    FineTuneSettings,
    Policy,
    RemainingFindings,
    ScoreCalibration,
    count_coverage,
    evaluate,
    exit_code,
    judge,
    load_pack,
    make_policy,
    parse_suppressions,
    subtract_accepted,
)
from sqsd_lint.rules.registry import RULES
from sqsd_lint.samples.inline_suppression import RefusedSuppression
from sqsd_lint.types import Problem, Score, ScoredRow, Suppression, Violation, Where

HERE = os.getcwd()
CALIBRATION = ScoreCalibration(tuple(score / 10 for score in range(1, 1000)))
POLICY = make_policy(load_pack("default"), CALIBRATION)
EMPTY = Baseline("base.json", HERE)
CODES = ["SQSD101", "SQSD102", "SQSD302", "SQSD202", "SQSD301", "SQSD999"]


def row(
    sqsd: float,
    line: int = 1,
    file: str = "a",
    *,
    suppression: Suppression | None = None,
    lost: int = 0,
    drift: float = float("nan"),
) -> ScoredRow:
    score = Score("", sqsd + 1, 1.0, sqsd, 5, "", lost, drift=drift)
    # The fingerprint is the content's: rows that score the same here are the same.
    digest = f"{abs(hash((sqsd, lost))):032x}"[-32:]
    return ScoredRow(Where(file, line, line - 1), digest, "text", score, suppression=suppression)


suppressions = st.builds(
    Suppression, st.lists(st.sampled_from(CODES), min_size=1, max_size=3).map(tuple), st.just("seen")
) | st.just(RefusedSuppression((), "", "wrong"))
rows = st.builds(
    row,
    st.sampled_from([1.0, 99.1, 99.2, 1e3, 2e3, float("nan")]),
    st.integers(1, 99),
    st.sampled_from("ab"),
    suppression=st.none() | suppressions,
    lost=st.integers(0, 1),
)
many = st.lists(rows, max_size=12, unique_by=lambda one: (one.where.file, one.where.line))
problems = st.lists(
    st.builds(
        Problem,
        st.sampled_from(["SQSD301", "SQSD303", "SQSD304"]),
        st.builds(Where, st.sampled_from("ab"), st.integers(100, 109), st.integers(100, 109)),
        st.just("wrong"),
    ),
    max_size=3,
)


def remaining(
    rows: Sequence[ScoredRow],
    problems: Sequence[Problem],
    policy: Policy,
    accepted: Accepted | None = None,
    *,
    files: Sequence[str] = (),
    whole: Sequence[str] | None = None,
) -> RemainingFindings:
    scores = BundleScores("one", policy, [*rows, *problems])
    return subtract_accepted(evaluate([scores], files=files), accepted, files=files, whole=whole)


def keys(violations: Sequence[Violation]) -> set[tuple[str, str, int]]:
    return {(v.rule, v.where.file, v.where.line) for v in violations}


@given(many, problems)
def test_what_a_baseline_was_made_of_fails_no_run(found: list[ScoredRow], lost: list[Problem]) -> None:
    first = remaining(found, lost, POLICY, files=["a", "b"])
    accepted = Accepted(EMPTY.with_findings(first.acceptable))
    second = remaining(found, lost, POLICY, accepted, files=["a", "b"])
    assert second.baselined == len(first.acceptable)
    assert {v.rule for v in second.violations} <= {*RULES.unscored, "SQSD401"}
    assert (second.stale, second.acceptable) == ((), first.acceptable)
    if not lost and count_coverage(found, lost).complete:
        assert exit_code(second.violations, count_coverage(found, lost)) == 0


@given(many, problems)
def test_no_acceptance_fills_a_gap(found: list[ScoredRow], lost: list[Problem]) -> None:
    digests = {r.fingerprint for r in found}
    text = "".join(f'[{d}]\nignore = ["SQSD101", "SQSD102"]\nreason = "x"\n' for d in digests)
    accepted = Accepted(
        EMPTY.with_findings(judge(found, lost, POLICY)),
        parse_suppressions(text.encode(), source="s.toml", folder=HERE),
    )
    gaps = set(RULES.unscored)
    all_of_them = keys([v for v in judge(found, lost, POLICY) if v.rule in gaps])
    shown = remaining(found, lost, POLICY, accepted).violations
    assert {key for key in keys(shown) if key[0] in gaps} == all_of_them


@given(many, problems, st.randoms())
def test_order_does_not_matter(found: list[ScoredRow], lost: list[Problem], draw: object) -> None:
    half = judge(found[::2], [], POLICY)
    accepted = Accepted(EMPTY.with_findings(v for v in half if v.rule != "SQSD301"))
    shuffled = list(found)
    draw.shuffle(shuffled)  # type: ignore[attr-defined]
    one = remaining(found, lost, POLICY, accepted, files=["b", "a"])
    other = remaining(shuffled, lost[::-1], POLICY, accepted, files=["b", "a"])
    assert repr(one) == repr(other)


@given(many, st.integers(0), suppressions)
def test_a_suppression_changes_no_other_row(
    found: list[ScoredRow], at: int, suppression: Suppression
) -> None:
    if not found:
        return
    at %= len(found)
    with_it, without = list(found), list(found)
    with_it[at] = replace(found[at], suppression=suppression)
    without[at] = replace(found[at], suppression=None)

    def others(rows: list[ScoredRow]) -> list[Violation]:
        left = remaining(rows, [], POLICY, files=["a", "b"])
        return [v for v in left.violations if v.where != found[at].where]

    assert repr(others(with_it)) == repr(others(without))


@given(many)
def test_where_inline_suppressions_are_not_in_force_they_silence_nothing(found: list[ScoredRow]) -> None:
    left = remaining(found, [], POLICY, Accepted(inline=False))
    raw = judge(found, [], POLICY)
    assert [v for v in left.violations if v.rule != "SQSD401"] == raw or "nan" in repr(raw)
    assert {v.where for v in left.violations if v.rule == "SQSD401"} == {
        r.where for r in found if r.suppression is not None
    }
    assert left.suppressed == 0


def test_counts_tell_suppressed_from_baselined() -> None:
    found = [row(1e3, 1, suppression=Suppression(("SQSD101",), "seen")), row(2e3, 2), row(3e3, 3)]
    baseline = EMPTY.with_findings(judge(found[:2], [], POLICY))
    left = remaining(found, [], POLICY, Accepted(baseline))
    assert (left.suppressed, left.baselined) == (1, 1)
    assert keys(left.violations) == {("SQSD101", "a", 3)}
    # The finding that is suppressed now still answers its entry: nothing is stale.
    assert left.stale == ()


def test_only_whole_files_say_what_is_gone() -> None:
    baseline = EMPTY.with_findings(judge([row(1e3), row(2e3, file="b")], [], POLICY))
    rows = [row(1.0), row(1.0, file="b")]
    accepted = Accepted(baseline)
    everything = remaining(rows, [], POLICY, accepted, files=["a", "b"])
    assert len(everything.stale) == 2
    assert [str(v.where) for v in everything.violations] == ["base.json", "base.json"]
    part = remaining(rows, [], POLICY, accepted, files=["a", "b"], whole=["b"])
    assert [entry.file for entry in part.stale] == ["b"]
    assert remaining(rows, [], POLICY, accepted, files=["a", "b"], whole=()).violations == ()


def test_a_row_that_moved_to_another_file_is_not_gone() -> None:
    baseline = EMPTY.with_findings(judge([row(1e3)], [], POLICY))
    left = remaining([row(1e3, file="b")], [], POLICY, Accepted(baseline), files=["a", "b"])
    assert (left.violations, left.baselined, left.stale) == ((), 1, ())


def test_a_finding_about_a_file_is_new_with_one_row_more() -> None:
    old = [row(99.5, n) for n in range(1, 8)]
    policy = make_policy(load_pack("default"), CALIBRATION, select=["SQSD202"])
    baseline = EMPTY.with_findings(judge(old, [], policy))
    assert len(baseline.entries) == 1
    accepted = Accepted(baseline)
    assert remaining(old[::-1], [], policy, accepted).violations == ()
    assert remaining([*old, row(1.0, 9)], [], policy, accepted).violations == ()
    (more,) = remaining([*old, row(99.5, 9)], [], policy, accepted).violations
    assert more.message.startswith("8 of 8 rows (100%) are at or above the warning line (p99)")


def test_what_has_no_drift_is_said_and_never_called_gone() -> None:
    policy = make_policy(load_pack("default"), CALIBRATION, fine_tune=FineTuneSettings(1.0, 1, 1))
    rows = [row(1.0, drift=5.0), row(2.0, 2, drift=5.0)]
    baseline = EMPTY.with_findings(judge(rows, [], policy))
    assert {entry.rule for entry in baseline.entries} == {"SQSD201"}
    unknown = [replace(r, score=replace(r.score, drift=float("nan"))) for r in rows]
    known_elsewhere = [*unknown, row(3.0, 1, "b", drift=0.1)]
    left = remaining(known_elsewhere, [], policy, Accepted(baseline), files=["a", "b"])
    assert left.notes == ("SQSD201 did not judge 1 file: the drift of 2 rows is unknown",)
    assert (left.violations, left.stale) == ((), ())
    assert remaining(unknown, [], policy).notes == ("SQSD201 is off: this bundle's scores tell no drift",)
    off = make_policy(load_pack("default"), CALIBRATION, ignore=["SQSD201"])
    assert remaining(unknown, [], off).notes == ()


@pytest.mark.parametrize("rule", ["SQSD401", "SQSD402"])
def test_findings_about_acceptance_can_be_left_out(rule: str) -> None:
    found = [row(1.0, suppression=Suppression(("SQSD101",), "seen"))]
    accepted = Accepted(EMPTY.with_findings(judge([row(1e3)], [], POLICY)))
    policy = make_policy(load_pack("default"), CALIBRATION, ignore=[rule])
    shown = remaining(found, [], policy, accepted, files=["a"]).violations
    assert {v.rule for v in shown} == {"SQSD401", "SQSD402"} - {rule}


def test_judging_needs_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / ".sqsd-lint-baseline.json").write_bytes(EMPTY.dump())
    (tmp_path / ".sqsd-lint-suppressions.toml").write_text("")
    code = (
        "import sys, json; from sqsd_lint.rules import *\n"
        "c = ScoreCalibration(tuple(map(float, range(2000))))\n"
        "scores = BundleScores('one', make_policy(load_pack('default'), c), [])\n"
        "subtract_accepted(evaluate([scores]), load_accepted(None, None))\n"
        "print(json.dumps(sorted({'jsonschema', 'torch', 'numpy', 'pyarrow', 'rich'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True)
    assert json.loads(done.stdout) == []
