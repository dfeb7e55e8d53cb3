"""Rankings and windows."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.types import Score
from sqsd_lint.validate.windows import RANKINGS, cut, rank


def scores(values: list[tuple[float, int]]) -> list[Score]:
    return [Score(f"{i:032x}", v, 0.0, v, tokens, loss=-v) for i, (v, tokens) in enumerate(values)]


ROWS = st.lists(st.tuples(st.floats(-9, 9), st.integers(1, 400)), min_size=5, max_size=60).map(scores)


@given(ROWS, st.sampled_from([*RANKINGS, "sqsd/length"]))
def test_a_ranking_is_a_permutation_that_no_order_of_rows_changes(rows: list[Score], name: str) -> None:
    order = rank(rows, name)
    assert sorted(order) == list(range(len(rows)))
    back = list(reversed(rows))
    assert [back[i].fingerprint for i in rank(back, name)] == [rows[i].fingerprint for i in order]


@given(ROWS)
def test_the_riskiest_come_first(rows: list[Score]) -> None:
    ordered = [rows[i] for i in rank(rows, "sqsd")]
    assert [s.sqsd for s in ordered] == sorted((s.sqsd for s in rows), reverse=True)
    assert [rows[i].tokens for i in rank(rows, "length")] == sorted((s.tokens for s in rows), reverse=True)


def test_within_length_the_top_holds_rows_of_every_length() -> None:
    rows = scores([(float(i), i + 1) for i in range(100)])  # the score is the length
    top = rank(rows, "sqsd/length")[:20]
    tokens = [rows[i].tokens for i in top]
    for low in range(0, 100, 20):
        assert sum(low < t <= low + 20 for t in tokens) == 4
    assert rank(rows, "sqsd")[:20] == list(range(99, 79, -1))


@given(st.integers(10, 300), st.integers(2, 7), st.integers(1, 10))
def test_windows_reach_from_top_to_bottom(rows: int, windows: int, size: int) -> None:
    found = cut(range(rows), windows, size)
    assert len(found) == windows
    assert all(len(w) == size for w in found)
    assert found[0][0] == 0
    assert found[-1][-1] == rows - 1
    starts = [w[0] for w in found]
    gaps = [b - a for a, b in pairwise(starts)]
    assert max(gaps) - min(gaps) <= 1


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="3 rows are fewer"):
        cut(range(3), 2, 4)
