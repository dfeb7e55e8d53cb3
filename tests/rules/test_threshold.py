from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sqsd_lint.errors import BundleError, UsageError
from sqsd_lint.resources import load_schema
from sqsd_lint.rules import ScoreCalibration, is_near, reaches
from sqsd_lint.rules.threshold import (
    THRESHOLD_SCHEMA,
    ThresholdSpec,
    caution,
    clear_percentile,
    parse_threshold,
    resolve_threshold,
)
from sqsd_lint.types import Score, Threshold

CALIBRATION = ScoreCalibration(tuple(map(float, range(1, 100))), (50.0, 150.0, 250.0))


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("7.5", ThresholdSpec("7.5", "raw", 7.5)),
        ("-1", ThresholdSpec("-1", "raw", -1)),
        (" +2e-3 ", ThresholdSpec("+2e-3", "raw", 0.002)),
        ("p99.9", ThresholdSpec("p99.9", "percentile", 99.9)),
        ("h5", ThresholdSpec("h5", "harmful", 5)),
        ("z3", ThresholdSpec("z3", "z", 3)),
        ("z-0.5", ThresholdSpec("z-0.5", "z", -0.5)),
    ],
)
def test_parse(text: str, spec: ThresholdSpec) -> None:
    assert parse_threshold(text) == spec


@pytest.mark.parametrize(
    "text",
    [
        "",
        "p",
        "p0",
        "p100",
        "p101",
        "h0.0",
        "p-5",
        "p+5",
        "h100",
        "99%",
        "nan",
        "inf",
        "1e999",
        "9" * 18,
        "p99." + "9" * 13,
        "zz",
        "P99",
    ],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_threshold(text)
    assert any(example in (caught.value.hint or "") for example in ("7.5", "p99.9"))


@given(
    st.from_regex(
        re.compile(r"[phz]?[+-]?[0-9]{1,4}(\.[0-9]{1,2})?(e-?[0-9]{1,2})?", re.ASCII), fullmatch=True
    )
    | st.text("0123456789.phze+-", max_size=6)
)
def test_the_schemas_accept_what_parse_accepts(text: str) -> None:
    try:
        parsed = parse_threshold(text) is not None
    except UsageError:
        parsed = False
    for pattern in (
        load_schema("config")["properties"]["threshold"]["pattern"],
        THRESHOLD_SCHEMA["pattern"],
    ):
        assert bool(re.search(pattern, text)) == parsed


def test_resolved_lines_say_what_lies_above_them() -> None:
    assert resolve_threshold(parse_threshold("p90"), CALIBRATION).benign_share == pytest.approx(9 / 99)
    found = resolve_threshold(parse_threshold("h50"), CALIBRATION)
    assert found == Threshold("h50", 150.0, 0.0, 2 / 3, CALIBRATION.rate_interval(150.0))
    assert resolve_threshold(parse_threshold("z0"), CALIBRATION).value == 50
    raw = resolve_threshold(parse_threshold("60"), CALIBRATION)
    assert (raw.spec, raw.value, raw.benign_share, raw.harmful_share) == ("60", 60.0, 40 / 99, 2 / 3)
    assert raw.benign_interval is not None
    assert raw.benign_interval[0] < 40 / 99 < raw.benign_interval[1]
    assert resolve_threshold(parse_threshold("60"), None) == Threshold("60", 60.0)


@given(st.floats(-1e15, 1e15))
def test_every_score_can_be_written_as_a_threshold(score: float) -> None:
    assume(score == 0 or abs(score) > 1e-90)
    assert parse_threshold(str(score)) == ThresholdSpec(str(score), "raw", score)


@given(st.floats(-5, 5), st.floats(0.1, 5))
def test_z_lines_invert_z(z: float, spread: float) -> None:
    calibration = ScoreCalibration((-spread, 0.0, spread))
    line = resolve_threshold(ThresholdSpec("z", "z", z), calibration)
    assert calibration.z(line.value) == pytest.approx(z, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "calibration"),
    [
        ("p99", None),
        ("z3", None),
        ("h5", None),
        ("h5", ScoreCalibration((1.0, 2.0))),
        ("z3", ScoreCalibration((1.0, 1.0))),
    ],
)
def test_a_missing_calibration_is_named_with_the_remedy(
    text: str, calibration: ScoreCalibration | None
) -> None:
    with pytest.raises(BundleError) as caught:
        resolve_threshold(parse_threshold(text), calibration)
    assert text in caught.value.message
    assert "sqsd-lint bundle calibrate" in (caught.value.hint or "")


def test_a_percentile_beyond_the_calibration_is_cautioned() -> None:
    assert caution(parse_threshold("p99"), CALIBRATION) == ""
    assert "99 benign calibration rows" in caution(parse_threshold("p99.9"), CALIBRATION)
    assert caution(parse_threshold("7"), CALIBRATION) == caution(parse_threshold("p99.9"), None) == ""


def test_near_a_threshold() -> None:
    both = (Threshold("7", 7.0), None, Threshold("4", 4.0))
    scores = [Score("", sqsd, 0.0, sqsd, 1) for sqsd in (7.5, 6.5, 4.0, 5.5, 7.6)]
    assert [is_near(score, both, 0.5) for score in scores] == [True] * 3 + [False] * 2
    assert is_near(Score("", 7.0, 0.0, 7.0, 1), both, 0.0)
    assert not is_near(Score("", 7.0, 0.0, float("nan"), 1), both, 1e9)


def test_a_row_on_the_threshold_reaches_it() -> None:
    scores = [Score("", sqsd, 0.0, sqsd, 1) for sqsd in (6.9, 7.0, 7.1, float("nan"))]
    assert [reaches(score, Threshold("7", 7.0)) for score in scores] == [False, True, True, False]
    assert not any(reaches(score, None) for score in scores)


def test_a_percentile_is_not_named_like_a_threshold_that_the_score_is_under() -> None:
    raised = Threshold("p99.9", 6.0)
    assert clear_percentile(5.0, 99.89, [raised]) == 99.89
    assert clear_percentile(5.0, 99.9, [raised]) is None
    assert clear_percentile(6.0, 99.9, [raised]) == 99.9
    assert clear_percentile(5.0, 99.95, [None, Threshold("6.0", 6.0), Threshold("z3", 6.0)]) == 99.95
    assert clear_percentile(5.0, None, [raised]) is None
