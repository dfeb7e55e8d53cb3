"""Rankings and windows."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.experiments.windows import RANKINGS, cut, rank, strata_of, windows
from sqsd_lint.types import Score


def scores(values: list[tuple[float, int]]) -> list[Score]:
    return [Score(f"{i:032x}", v, 0.0, v, tokens, loss=-v) for i, (v, tokens) in enumerate(values)]


ROWS = st.lists(st.tuples(st.floats(-9, 9), st.integers(1, 400)), min_size=5, max_size=60).map(scores)


@given(ROWS, st.sampled_from([*RANKINGS]))
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
    top = windows(rows, "sqsd/length", 3, 20)[0]
    tokens = [rows[i].tokens for i in top]
    for low in range(0, 100, 20):
        assert sorted(t for t in tokens if low < t <= low + 20) == [low + 17, low + 18, low + 19, low + 20]
    assert windows(rows, "sqsd", 3, 20)[0] == list(range(99, 79, -1))
    assert windows(rows, "sqsd", 3, 20, strata=5)[0] == top


@given(ROWS, st.sampled_from([*RANKINGS]), st.integers(1, 5), st.integers(1, 6), st.data())
def test_every_window_has_the_same_mix_of_lengths(
    rows: list[Score], name: str, count: int, strata: int, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, len(rows)))
    stratum = strata_of(rows, strata)
    try:
        found = windows(rows, name, count, size, strata=strata)
    except ValueError:
        # A stratum too small for its share: only where windows are nearly as large as the data, or there
        # are nearly as many strata as rows.
        assert size > len(rows) - strata or len(rows) < 2 * strata
        return
    mixes = [Counter(stratum[i] for i in window) for window in found]
    assert all(mix == mixes[0] for mix in mixes)
    assert max(mixes[0].values()) - min(mixes[0][k] for k in range(strata)) <= 1
    assert all(len(set(window)) == size for window in found)
    # Within a stratum, the first window holds the riskiest rows.
    key = RANKINGS[name]
    for k in range(strata):
        members = sorted((key(s) for s, own in zip(rows, stratum, strict=True) if own == k), reverse=True)
        top = sorted((key(rows[i]) for i in found[0] if stratum[i] == k), reverse=True)
        assert top == members[: len(top)]


@given(ROWS, st.integers(1, 6))
def test_strata_are_quantiles_of_length(rows: list[Score], strata: int) -> None:
    stratum = strata_of(rows, strata)
    sizes = Counter(stratum)
    if len(rows) >= strata:
        assert max(sizes[k] for k in range(strata)) - min(sizes[k] for k in range(strata)) <= 1
    for a, b in pairwise(sorted(range(len(rows)), key=lambda i: stratum[i])):
        if stratum[a] < stratum[b]:
            assert rows[a].tokens <= rows[b].tokens


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
    few = scores([(1.0, 1), (2.0, 2), (3.0, 3)])
    with pytest.raises(ValueError, match="3 rows are fewer"):
        windows(few, "sqsd", 2, 4)


@given(ROWS, st.randoms(use_true_random=False))
def test_scores_from_elsewhere_rank_as_they_say(rows: list[Score], draw: random.Random) -> None:
    other = {row.fingerprint: draw.random() for row in rows}
    order = rank(rows, "other", {"other": other})
    values = [other[rows[i].fingerprint] for i in order]
    assert values == sorted(values, reverse=True)
    assert windows(rows, "other", 2, 3, others={"other": other})[0] == order[:3]
