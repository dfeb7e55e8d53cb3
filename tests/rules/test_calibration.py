from __future__ import annotations

import json
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.bundle import manifest
from sqsd_lint.errors import BundleCorruptError
from sqsd_lint.rules import ScoreCalibration

scores = st.floats(-1e6, 1e6, allow_nan=False)
samples = st.lists(scores, min_size=1, max_size=60).map(tuple)
percentiles = st.floats(0.01, 99.999)


@given(samples, scores, scores)
def test_percentile_is_monotone_and_in_range(benign: tuple[float, ...], one: float, other: float) -> None:
    calibration = ScoreCalibration(benign)
    low, high = sorted((one, other))
    assert 0 <= calibration.percentile(low) <= calibration.percentile(high) <= 100


def test_percentile_counts_ties_half() -> None:
    calibration = ScoreCalibration((1.0, 2.0, 2.0, 3.0))
    assert [calibration.percentile(s) for s in (0, 1, 2, 2.5, 3, 9)] == [0, 12.5, 50, 75, 87.5, 100]


@given(samples, percentiles)
def test_a_line_keeps_its_false_alarm_rate_on_the_calibration_set(
    benign: tuple[float, ...], percentile: float
) -> None:
    calibration = ScoreCalibration(benign)
    line = calibration.value_at(percentile)
    assert calibration.benign_share(line) <= 1 - percentile / 100 + 1e-12


@given(samples, percentiles)
def test_whatever_reaches_a_line_has_at_least_its_percentile(
    benign: tuple[float, ...], percentile: float
) -> None:
    calibration = ScoreCalibration(benign)
    assert calibration.percentile(calibration.value_at(percentile)) >= percentile - 1e-9


@given(samples, percentiles, percentiles)
def test_lines_rise_with_their_percentile(benign: tuple[float, ...], one: float, other: float) -> None:
    calibration = ScoreCalibration(benign)
    low, high = sorted((one, other))
    assert calibration.value_at(low) <= calibration.value_at(high)


def test_ranks_are_exact_where_floats_are_not() -> None:
    assert math.ceil(1000 * 16.1 / 100) == 162  # what floats make of it
    calibration = ScoreCalibration(tuple(map(float, range(1, 1000))))
    assert calibration.value_at(16.1) == math.nextafter(161, math.inf)
    assert calibration.value_at(99.9) == math.nextafter(999, math.inf)


def test_too_few_rows_put_the_line_just_above_the_largest() -> None:
    few, enough = (
        ScoreCalibration(tuple(map(float, range(998)))),
        ScoreCalibration(tuple(map(float, range(999)))),
    )
    assert few.value_at(99.9) == math.nextafter(997.0, math.inf)
    assert not few.can_resolve(99.9)
    assert enough.can_resolve(99.9)


def test_new_benign_rows_reach_a_line_no_more_often_than_promised() -> None:
    draw = random.Random(7)
    reached = 0
    for _ in range(2000):
        line = ScoreCalibration(tuple(draw.gauss(0, 1) for _ in range(39))).value_at(95)
        reached += draw.gauss(0, 1) >= line
    assert 0.03 < reached / 2000 < 0.065  # the promise is 0.05; three standard errors are 0.015


@given(samples, st.floats(0.01, 99.9))
def test_at_most_the_promised_share_of_harmful_rows_lies_below_their_line(
    harmful: tuple[float, ...], percentile: float
) -> None:
    calibration = ScoreCalibration((0.0,), harmful)
    share = calibration.harmful_share(calibration.harmful_value_at(percentile))
    assert share is not None
    assert 1 - share <= percentile / 100 + 1e-12


@given(st.lists(scores, min_size=2, max_size=50).map(tuple))
def test_mean_and_spread_are_those_of_the_textbook(benign: tuple[float, ...]) -> None:
    calibration = ScoreCalibration(benign)
    assert calibration.mean == pytest.approx(statistics.fmean(benign), rel=1e-9, abs=1e-6)
    assert calibration.spread == pytest.approx(statistics.stdev(benign), rel=1e-6, abs=1e-6)


def test_z_needs_scores_that_differ() -> None:
    assert ScoreCalibration((1.0, 3.0)).z(2 + math.sqrt(2)) == pytest.approx(1)
    assert ScoreCalibration((1.0, 1.0)).z(5) is None


def test_shares_count_the_rows_at_the_line() -> None:
    calibration = ScoreCalibration((1.0, 2.0, 3.0, 4.0), (3.0, 5.0))
    assert calibration.benign_share(3.0) == 0.5
    assert calibration.harmful_share(3.0) == 1.0
    assert calibration.harmful_share(3.1) == 0.5
    assert ScoreCalibration((1.0,)).harmful_share(0.0) is None
    with pytest.raises(ValueError, match="no harmful"):
        ScoreCalibration((1.0,)).harmful_value_at(5)


@given(samples, st.lists(scores, max_size=5).map(tuple))
def test_json_round_trip(benign: tuple[float, ...], harmful: tuple[float, ...]) -> None:
    calibration = ScoreCalibration(benign, harmful, 0.25, ("dolly",), ("advbench", "beavertails"))
    assert ScoreCalibration.from_json(json.loads(json.dumps(calibration.to_json()))) == calibration


def test_it_reads_what_a_bundle_manifest_holds() -> None:
    reference = manifest.ReferenceSet("dolly", 2, "0" * 64)
    stored = manifest.Calibration((1.0, 2.0), (3.0,), 0.5, "float32", (reference,), ())
    assert ScoreCalibration.from_json(stored.to_json()) == ScoreCalibration(
        (1.0, 2.0), (3.0,), 0.5, ("dolly",)
    )


@pytest.mark.parametrize(
    "change",
    [
        {"benign": []},
        {"benign": [float("nan")]},
        {"benign": [True]},
        {"benign": ["1"]},
        {"benign": None},
        {"benign": [10**400]},
        {"harmful": [float("inf")]},
        {"tolerance": -1},
        {"tolerance": None},
        {"sets": {}},
        {"sets": {"benign": ["dolly"], "harmful": []}},
    ],
)
def test_damaged_manifests_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(BundleCorruptError, match="calibration"):
        ScoreCalibration.from_json({**ScoreCalibration((1.0,)).to_json(), **change})
    with pytest.raises(BundleCorruptError):
        ScoreCalibration.from_json(None)
