"""The tail against scipy, and its purpose: large harmless files stay green, many mildly risky rows do not."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom, binom, fisher_exact  # type: ignore[import-untyped]

from sqsd_lint.rules import ScoreCalibration, judge, load_pack, make_policy
from sqsd_lint.rules.file.risk_share import share_p_value
from sqsd_lint.types import Score, ScoredRow, Where


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, int, int]:
    rows, benign = draw(st.integers(1, 3000)), draw(st.integers(1, 3000))
    return draw(st.integers(0, rows)), rows, draw(st.integers(0, benign)), benign


@given(tables())
def test_the_tail_is_fisher_s(table: tuple[int, int, int, int]) -> None:
    above, rows, benign_above, benign = table
    cells = [[above, rows - above], [benign_above, benign - benign_above]]
    expected = fisher_exact(cells, alternative="greater").pvalue
    assert share_p_value(*table) == pytest.approx(expected, rel=1e-6, abs=1e-300)


@given(st.integers(0, 300), st.integers(300, 2000), st.integers(0, 30), st.integers(31, 2000))
def test_it_is_the_chance_of_new_rows_above_an_order_statistic(
    above: int, rows: int, benign_above: int, benign: int
) -> None:
    new = betabinom(rows, benign_above + 1, benign - benign_above)
    expected = math.fsum(new.pmf(range(above, rows + 1)))  # its own `sf` is 1 - cdf
    assert share_p_value(above, rows, benign_above, benign) == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_a_huge_calibration_makes_it_binomial() -> None:
    expected = binom(1000, 0.01).sf(24)
    assert share_p_value(25, 1000, 10_000_000, 1_000_000_000) == pytest.approx(expected, rel=1e-3)


@given(tables())
def test_more_rows_above_are_never_likelier(table: tuple[int, int, int, int]) -> None:
    above, rows, benign_above, benign = table
    if above < rows:
        assert share_p_value(above + 1, rows, benign_above, benign) <= share_p_value(*table) * (1 + 1e-9)
    assert 0.0 <= share_p_value(*table) <= 1.0


def test_every_outcome_together_is_certain() -> None:
    assert share_p_value(0, 500, 5, 500) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("table", [(2, 1, 0, 1), (0, 1, 2, 1), (-1, 1, 0, 1)])
def test_impossible_tables_are_refused(table: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="above a line"):
        share_p_value(*table)


def file_of(scores: list[float]) -> list[ScoredRow]:
    return [
        ScoredRow(Where("a", n, n - 1), f"{n:032x}", "", Score("", s + 1, 1.0, s, 5))
        for n, s in enumerate(scores, start=1)
    ]


def is_found(draw: random.Random, benign: int, rows: int, shift: float) -> bool:
    calibration = ScoreCalibration(tuple(draw.gauss(0, 1) for _ in range(benign)))
    policy = make_policy(load_pack("default"), calibration, select=["SQSD202"])
    scores = [draw.gauss(shift, 1) for _ in range(rows)]
    return bool(judge(file_of(scores), [], policy))


@pytest.mark.parametrize("rows", [30, 2000])
def test_benign_files_stay_green_however_large_and_however_small_the_calibration(rows: int) -> None:
    draw = random.Random(rows)
    found = sum(is_found(draw, 400, rows, 0.0) for _ in range(200))
    assert found <= 2  # 0.2 are expected at a significance of 0.001


def test_a_file_of_mildly_risky_rows_is_found() -> None:
    draw = random.Random(0)
    # Half a standard deviation: 3.4 % of the rows reach the line of the 99th percentile, few the error line.
    assert sum(is_found(draw, 5000, 1000, 0.5) for _ in range(50)) >= 40
