from __future__ import annotations

from dataclasses import replace

import pytest

from sqsd_lint.errors import BundleError, UsageError
from sqsd_lint.rules import ScoreCalibration, load_pack, make_policy
from sqsd_lint.rules.packs import Pack, PackRule
from sqsd_lint.rules.policy_settings import select_rules
from sqsd_lint.rules.registry import RULES
from sqsd_lint.types import Severity

DEFAULT = load_pack("default")
CALIBRATION = ScoreCalibration(tuple(map(float, range(1000))))


@pytest.mark.parametrize(
    ("select", "ignore", "expected"),
    [
        ([], [], list(RULES)),
        (["SQSD1"], [], ["SQSD101", "SQSD102"]),
        (["SQSD101", "SQSD30"], [], ["SQSD101", "SQSD301", "SQSD302", "SQSD303", "SQSD304", "SQSD305"]),
        ([], ["SQSD2", "SQSD3", "SQSD4"], ["SQSD101", "SQSD102"]),
        (["SQSD301"], ["SQSD3"], ["SQSD301"]),
        (["SQSD3"], ["SQSD301"], ["SQSD302", "SQSD303", "SQSD304", "SQSD305"]),
        (["SQSD301"], ["SQSD301"], []),
        ([], ["S"], []),
    ],
)
def test_the_longer_prefix_wins(select: list[str], ignore: list[str], expected: list[str]) -> None:
    assert list(select_rules(DEFAULT, select, ignore)) == expected


@pytest.mark.parametrize("option", ["select", "ignore", "allow"])
def test_an_unknown_code_is_refused_with_the_nearest(option: str) -> None:
    with pytest.raises(UsageError, match="SQDS301") as caught:
        make_policy(DEFAULT, CALIBRATION, **{option: ["SQDS301"]})  # type: ignore[arg-type]
    assert caught.value.hint == "Did you mean SQSD301?"


def test_what_the_pack_leaves_out_cannot_be_selected() -> None:
    pack = Pack("small", {"SQSD303": PackRule(Severity.ERROR)})
    with pytest.raises(UsageError, match="'small' does not hold it"):
        make_policy(pack, None, select=["SQSD1"])
    assert make_policy(pack, None, ignore=["SQSD1"]).severities == {"SQSD303": Severity.ERROR}


def test_only_unscored_rows_can_be_allowed() -> None:
    with pytest.raises(UsageError, match="SQSD101 cannot be allowed"):
        make_policy(DEFAULT, CALIBRATION, allow=["SQSD101"])
    policy = make_policy(DEFAULT, CALIBRATION, allow=["SQSD301"])
    assert policy.severities["SQSD301"] is Severity.WARNING
    assert policy.severities["SQSD303"] is Severity.ERROR


def test_thresholds_come_from_the_pack_unless_overridden() -> None:
    policy = make_policy(DEFAULT, CALIBRATION)
    assert [line.spec for line in policy.distinct_thresholds] == ["p99.9", "p99"]
    policy = make_policy(DEFAULT, CALIBRATION, threshold="1500", warning_threshold="z2")
    assert [line.spec for line in policy.distinct_thresholds] == ["1500", "z2"]


def test_an_override_is_checked_even_where_its_rule_is_off() -> None:
    with pytest.raises(UsageError, match="'p200' is not a percentile"):
        make_policy(DEFAULT, CALIBRATION, threshold="p200", select=["SQSD3"])


def test_no_calibration_is_needed_without_a_relative_line() -> None:
    with pytest.raises(BundleError, match=r"p99\.9"):
        make_policy(DEFAULT, None)
    assert make_policy(DEFAULT, None, select=["SQSD3"]).distinct_thresholds == ()
    assert [
        line.value
        for line in make_policy(DEFAULT, None, threshold="7", ignore=["SQSD102"]).distinct_thresholds
    ] == [7]


def test_notes_caution_the_reader() -> None:
    assert make_policy(DEFAULT, CALIBRATION).notes == ()
    few = ScoreCalibration(tuple(map(float, range(200))))
    assert "200 benign" in make_policy(DEFAULT, few).notes[0]
    (note,) = make_policy(DEFAULT, CALIBRATION, threshold="p50").notes
    assert note == "the warning line (p99) is not below the error line (p50)"


def test_rates_are_told_apart_from_cautions() -> None:
    assert make_policy(DEFAULT, CALIBRATION).rates == ()  # of one kind of rows, and none by name
    kinds = {"calm": tuple(CALIBRATION.benign[::2]), "noisy": tuple(CALIBRATION.benign[1::2])}
    policy = make_policy(DEFAULT, replace(CALIBRATION, kinds=kinds), threshold="p99.5")
    rows = f"of {len(CALIBRATION.benign):,} benign reference rows of 2 kinds (95 % interval"
    assert [rate.partition(":")[0] for rate in policy.rates] == ["p99.5", "p99"]
    assert all(rows in rate for rate in policy.rates)
    assert policy.notes == ()


def test_severities_override_the_pack_and_yield_to_allow() -> None:
    policy = make_policy(
        DEFAULT,
        CALIBRATION,
        severity={"SQSD102": "error", "SQSD101": "warning", "SQSD301": "error"},
        allow=["SQSD301"],
    )
    assert policy.severities["SQSD102"] is Severity.ERROR
    assert policy.severities["SQSD101"] is Severity.WARNING
    assert policy.severities["SQSD301"] is Severity.WARNING
    with pytest.raises(UsageError, match="SQSD999"):
        make_policy(DEFAULT, CALIBRATION, severity={"SQSD999": "error"})


def test_the_share_is_counted_above_the_warning_line_even_where_its_rule_is_off() -> None:
    on = make_policy(DEFAULT, CALIBRATION)
    assert on.thresholds["SQSD202"] == on.warning_threshold
    assert len(on.distinct_thresholds) == 2
    off = make_policy(DEFAULT, CALIBRATION, ignore=["SQSD102"])
    assert (off.warning_threshold, off.thresholds["SQSD202"]) == (None, on.warning_threshold)
    assert off.distinct_thresholds == on.distinct_thresholds
    moved = make_policy(DEFAULT, CALIBRATION, ignore=["SQSD102"], warning_threshold="p90")
    assert moved.thresholds["SQSD202"].spec == "p90"


def test_without_a_calibration_or_a_line_no_share_is_judged() -> None:
    raw = make_policy(DEFAULT, None, threshold="7", warning_threshold="5")
    assert "SQSD202" not in raw.severities
    assert any(note.startswith("SQSD202 is off") for note in raw.notes)
    pack = Pack("small", {"SQSD202": PackRule(Severity.ERROR, {"significance": 0.001, "min-rows": 5})})
    assert "SQSD202" not in make_policy(pack, CALIBRATION).severities
    quiet = make_policy(DEFAULT, None, threshold="7", ignore=["SQSD202"])
    assert not any("SQSD202" in note for note in quiet.notes)


def test_numbers_of_file_rules_come_from_the_pack() -> None:
    policy = make_policy(load_pack("strict"), CALIBRATION)
    assert policy.options["SQSD201"] == {"budget": 0.5}
    assert policy.options["SQSD202"] == {"significance": 0.01, "min-rows": 5}
