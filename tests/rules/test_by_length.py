"""Thresholds of a calibration that knows the length and the kind of benign rows."""

from __future__ import annotations

import pytest

from sqsd_lint.common.length_curve import LengthCurve
from sqsd_lint.rules.calibration import ScoreCalibration
from sqsd_lint.rules.file import risk_share
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.row import elevated_risk_sample, high_risk_sample
from sqsd_lint.types import Score, ScoredRow, Threshold, Where

CURVE = LengthCurve((1.0, 100.0), (0.0, 0.0), (10.0, 1.0))
CALM = tuple(i / 1000 for i in range(1000))
NOISY = tuple(i / 10 for i in range(100))
CALIBRATION = ScoreCalibration(
    (*CALM, *NOISY),
    kinds={"calm": CALM, "noisy": NOISY},
    curve=CURVE,
    harm_weight=0.5,
    tokens=(1, 100),
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
    assert scored(20.0, 1).score.risk == 2.0
    assert scored(20.0, 100, harm=10.0).score.risk == 25.0


def test_harm_that_is_not_known_gives_no_risk() -> None:
    risk = CALIBRATION.risk(scored(20.0, 1, harm=None).score)
    assert risk != risk


def test_no_kind_is_diluted_by_others() -> None:
    value = CALIBRATION.value_at(99)
    assert sum(risk >= value for risk in NOISY) <= 5
    pooled = ScoreCalibration((*CALM, *NOISY)).value_at(99)
    assert sum(risk >= pooled for risk in NOISY) > 5
    assert CALIBRATION.most_exposed_kind(value) == ("noisy", pytest.approx(0.05, abs=0.011))


def test_a_row_unlike_all_benign_ones_is_a_warning() -> None:
    like, unlike = scored(5.0, 100), scored(5.0, 101)
    assert high_risk_sample.RULE.check(like, policy())
    assert not high_risk_sample.RULE.check(unlike, policy())
    assert "unlike the benign reference rows (1 to 100)" in elevated_risk_sample.RULE.check(unlike, policy())
    assert high_risk_sample.RULE.check(unlike, policy("3")), "a raw threshold asks for it"


@pytest.mark.parametrize(("risky", "found"), [(70, False), (100, True)])
def test_a_file_is_compared_with_the_kind_that_it_is_most_like(risky: int, found: bool) -> None:
    rows = [scored(5.0 if i < risky else 0.0, 100, at=i) for i in range(100)]
    check = risk_share.RULE.check(policy())
    for row in rows:
        check.add(row)
    assert bool(list(check.findings())) == found
