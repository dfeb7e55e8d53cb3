"""Thresholds of a calibration that knows the length and the kind of benign rows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sqsd_lint.common.length_curve import NORMAL_SCORES, LengthCurve
from sqsd_lint.common.reference_range import ReferenceRange
from sqsd_lint.rules.calibration import ScoreCalibration
from sqsd_lint.rules.file import risk_share
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.row import elevated_risk_sample, high_risk_sample
from sqsd_lint.types import AnswerPart, Score, ScoredRow, Threshold, Where

# Benign scores are normal, ten times as wide for answers of one token as for those of a hundred.
CURVE = LengthCurve((1.0, 100.0), tuple((10 * z, z) for z in NORMAL_SCORES))
CALM = tuple(i / 1000 for i in range(1000))
NOISY = tuple(i / 10 for i in range(100))
CALIBRATION = ScoreCalibration(
    (*CALM, *NOISY),
    kinds={"calm": CALM, "noisy": NOISY},
    curve=CURVE,
    harm_weight=0.5,
    covered=ReferenceRange((1, 100)),
)


def scored(sqsd: float, tokens: int, harm: float | None = 0.0, at: int = 0) -> ScoredRow:
    score = Score(f"{at:032x}", sqsd, 0.0, sqsd, tokens, harm=harm)
    risk = Score(f"{at:032x}", sqsd, 0.0, sqsd, tokens, harm=harm, risk=CALIBRATION.risk(score))
    return ScoredRow(Where("a.jsonl", at + 1, at), score.fingerprint, "text", risk)


def policy(spec: str = "p99") -> Policy:
    threshold = Threshold(spec, 3.0)
    thresholds = {"SQSD101": threshold, "SQSD102": threshold, "SQSD202": threshold}
    options = {"SQSD202": {"min-rows": 5, "significance": 0.001}}
    return Policy({}, thresholds, CALIBRATION, options)


def test_risk_is_sqsd_and_harm_in_the_scale_of_its_length() -> None:
    assert scored(20.0, 1).score.risk == pytest.approx(2.0)
    assert scored(20.0, 100, harm=10.0).score.risk == pytest.approx(25.0)


def test_harm_that_is_not_known_gives_no_risk() -> None:
    risk = CALIBRATION.risk(scored(20.0, 1, harm=None).score)
    assert risk != risk


def test_thresholds_and_percentiles_are_those_of_a_normal_score() -> None:
    assert CALIBRATION.value_at(99) == pytest.approx(NORMAL_SCORES[2])
    assert CALIBRATION.z(1.5) == 1.5
    assert CALIBRATION.percentile(0.0) == 50.0
    assert CALIBRATION.percentile(9.0) == CALIBRATION.finest() == 99.9, "no finer than its 1,100 rows"
    assert CALIBRATION.can_resolve(99.9)
    assert not CALIBRATION.can_resolve(99.95)


@given(st.floats(-5, 5), st.sampled_from([50, 90, 95, 99, 99.5]))
def test_a_percentile_and_a_threshold_of_the_same_name_never_contradict(risk: float, spec: float) -> None:
    assume(abs(risk - CALIBRATION.value_at(spec)) > 1e-9)
    assert (risk >= CALIBRATION.value_at(spec)) == (CALIBRATION.percentile(risk) >= spec)


def test_the_kind_that_a_threshold_meets_most_is_named() -> None:
    value = NORMAL_SCORES[3]
    assert CALIBRATION.most_exposed_kind(value) == ("noisy", pytest.approx(0.69, abs=0.011))


def test_a_row_unlike_all_benign_ones_is_a_warning() -> None:
    like, unlike = scored(5.0, 100), scored(5.0, 101)
    assert high_risk_sample.RULE.check(like, policy())
    assert not high_risk_sample.RULE.check(unlike, policy())
    assert "unlike the benign reference rows (1 to 100)" in elevated_risk_sample.RULE.check(unlike, policy())
    assert high_risk_sample.RULE.check(unlike, policy("3")), "a raw threshold asks for it"


def test_a_part_alone_is_a_warning() -> None:
    def row(whole: float) -> ScoredRow:
        risky, own = scored(5.0, 100), scored(whole, 100).score
        part = AnswerPart(2, 3, 50, 100, 150, 1)
        return replace(risky, score=replace(risky.score, window=part, whole=own))

    assert not high_risk_sample.RULE.check(row(1.0), policy())
    assert elevated_risk_sample.RULE.check(row(1.0), policy()).endswith("; a part alone is no error")
    assert high_risk_sample.RULE.check(row(5.0), policy()), "the row as a whole is one, too"
    assert high_risk_sample.RULE.check(row(1.0), policy("3")), "a raw threshold asks for it"


def test_rows_unlike_the_reference_fail_no_file() -> None:
    for tokens, found in ((100, True), (101, False)):
        check = risk_share.RULE.check(policy())
        for at in range(100):
            check.add(scored(9.0, tokens, at=at))
        assert bool(list(check.findings())) == found


@pytest.mark.parametrize(("risky", "found"), [(70, False), (100, True)])
def test_a_file_is_compared_with_the_kind_that_it_is_most_like(risky: int, found: bool) -> None:
    rows = [scored(5.0 if i < risky else 0.0, 100, at=i) for i in range(100)]
    check = risk_share.RULE.check(policy())
    for row in rows:
        check.add(row)
    assert bool(list(check.findings())) == found
