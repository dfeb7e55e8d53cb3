from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sqsd_lint.errors import BundleError, UsageError
from sqsd_lint.resources import load_schema
from sqsd_lint.rules import Calibration, near_line
from sqsd_lint.rules.threshold import Spec, caution, parse, resolve
from sqsd_lint.types import Line

CALIBRATION = Calibration(tuple(map(float, range(1, 100))), (50.0, 150.0, 250.0))


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("7.5", Spec("7.5", "raw", 7.5)),
        ("-1", Spec("-1", "raw", -1)),
        (" +2e-3 ", Spec("+2e-3", "raw", 0.002)),
        ("p99.9", Spec("p99.9", "percentile", 99.9)),
        ("h5", Spec("h5", "harmful", 5)),
        ("z3", Spec("z3", "z", 3)),
        ("z-0.5", Spec("z-0.5", "z", -0.5)),
    ],
)
def test_parse(text: str, spec: Spec) -> None:
    assert parse(text) == spec


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
        parse(text)
    assert any(example in (caught.value.hint or "") for example in ("7.5", "p99.9"))


@given(
    st.from_regex(
        re.compile(r"[phz]?[+-]?[0-9]{1,4}(\.[0-9]{1,2})?(e-?[0-9]{1,2})?", re.ASCII), fullmatch=True
    )
    | st.text("0123456789.phze+-", max_size=6)
)
def test_the_schemas_accept_what_parse_accepts(text: str) -> None:
    try:
        parsed = parse(text) is not None
    except UsageError:
        parsed = False
    for pattern in (
        load_schema("config")["properties"]["threshold"]["pattern"],
        load_schema("rules")["$defs"]["line"]["properties"]["threshold"]["pattern"],
    ):
        assert bool(re.search(pattern, text)) == parsed


def test_resolved_lines_say_what_lies_above_them() -> None:
    assert resolve(parse("p90"), CALIBRATION).benign_share == pytest.approx(9 / 99)
    assert resolve(parse("h50"), CALIBRATION) == Line("h50", 150.0, 0.0, 2 / 3)
    assert resolve(parse("z0"), CALIBRATION).value == 50
    assert resolve(parse("60"), CALIBRATION) == Line("60", 60.0, 40 / 99, 2 / 3)
    assert resolve(parse("60"), None) == Line("60", 60.0)


@given(st.floats(-1e15, 1e15))
def test_every_score_can_be_written_as_a_threshold(score: float) -> None:
    assume(score == 0 or abs(score) > 1e-90)
    assert parse(str(score)) == Spec(str(score), "raw", score)


@given(st.floats(-5, 5), st.floats(0.1, 5))
def test_z_lines_invert_z(z: float, spread: float) -> None:
    calibration = Calibration((-spread, 0.0, spread))
    line = resolve(Spec("z", "z", z), calibration)
    assert calibration.z(line.value) == pytest.approx(z, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "calibration"),
    [
        ("p99", None),
        ("z3", None),
        ("h5", None),
        ("h5", Calibration((1.0, 2.0))),
        ("z3", Calibration((1.0, 1.0))),
    ],
)
def test_a_missing_calibration_is_named_with_the_remedy(text: str, calibration: Calibration | None) -> None:
    with pytest.raises(BundleError) as caught:
        resolve(parse(text), calibration)
    assert text in caught.value.message
    assert "sqsd-lint bundle calibrate" in (caught.value.hint or "")


def test_a_percentile_beyond_the_calibration_is_cautioned() -> None:
    assert caution(parse("p99"), CALIBRATION) == ""
    assert "99 benign calibration rows" in caution(parse("p99.9"), CALIBRATION)
    assert caution(parse("7"), CALIBRATION) == caution(parse("p99.9"), None) == ""


def test_near_line() -> None:
    lines = (Line("7", 7.0), None, Line("4", 4.0))
    assert [near_line(score, lines, 0.5) for score in (7.5, 6.5, 4.0, 5.5, 7.6)] == [True] * 3 + [False] * 2
    assert near_line(7.0, lines, 0.0)
    assert not near_line(float("nan"), lines, 1e9)
