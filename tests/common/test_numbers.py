from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.common import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7.594, "7.59"),
        (-3.5, "-3.50"),
        (0.0, "0.00"),
        (12345.6, "12,346"),
        (0.0123, "0.0123"),
        (-0.05, "-0.05"),
        (3.14e-5, "3.14e-05"),
        (float("nan"), "n/a"),
        (float("inf"), "n/a"),
    ],
)
def test_score(value: float, text: str) -> None:
    assert numbers.score(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(99.9, "p99.9"), (99.0, "p99"), (99.987, "p99.98"), (100.0, "p100"), (0.0, "p0"), (None, "")],
)
def test_percentile(value: float | None, text: str) -> None:
    assert numbers.percentile(value) == text


@given(st.floats(0, 100, exclude_max=True))
def test_a_percentile_is_never_rounded_up(value: float) -> None:
    assert float(numbers.percentile(value)[1:]) <= value


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.001, "0.1%"), (0.874, "87%"), (0.0, "0%"), (1.0, "100%"), (0.0005, "0.05%"), (0.012, "1.2%")],
)
def test_share(value: float, text: str) -> None:
    assert numbers.share(value) == text


def test_counts_and_lists() -> None:
    assert numbers.count(1, "error") == "1 error"
    assert numbers.count(1204, "row") == "1,204 rows"
    assert numbers.count(0, "file") == "0 files"
    assert [numbers.plural(n, "row") for n in (0, 1, 2)] == ["rows", "row", "rows"]
    assert numbers.listing(["a"]) == "a"
    assert numbers.listing(["a", "b", "c"]) == "a, b and c"


def test_duration() -> None:
    assert numbers.duration(0.42) == "0.4 s"
    assert numbers.duration(125) == "2 min 05 s"
