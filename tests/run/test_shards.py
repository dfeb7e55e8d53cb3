"""The loop over shards is a pure function of rows and of what scores them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.run.shards import score_rows, score_shard, shards
from sqsd_lint.types import Message, Problem, Sample, Where


def sample(line: int, text: str) -> Sample:
    return Sample(text, (Message("assistant", text),), (True,), Where("a.jsonl", line, line - 1))


def rows(texts: Sequence[str | None]) -> list[Sample | Problem]:
    """Samples, and a problem for each None."""
    return [
        Problem("SQSD303", Where("a.jsonl", i, i - 1), "not JSON") if text is None else sample(i, text)
        for i, text in enumerate(texts, start=1)
    ]


def length(samples: Sequence[Sample]) -> dict[str, int | Problem]:
    """Scores by the length of a text; rows that begin with x have none."""
    assert len({s.fingerprint for s in samples}) == len(samples)
    return {
        s.fingerprint: Problem("SQSD301", s.where, "no update")
        if s.fingerprint[0] == "x"
        else len(s.fingerprint)
        for s in reversed(samples)
    }


TEXTS = st.lists(st.none() | st.text("abx", min_size=1, max_size=3), max_size=40)


@given(TEXTS, st.integers(1, 50))
def test_shards_hold_all_rows_in_order(texts: list[str | None], size: int) -> None:
    items = rows(texts)
    parts = list(shards(iter(items), size))
    assert [item for part in parts for item in part] == items
    assert all(len(part) == size for part in parts[:-1])
    assert all(parts)


@given(TEXTS, st.integers(1, 50))
def test_scores_do_not_depend_on_where_shards_are_cut(texts: list[str | None], size: int) -> None:
    items = rows(texts)
    whole = list(score_rows(items, length))
    assert [out for part in shards(items, size) for out in score_shard(part, length)] == whole
    for text, item, out in zip(texts, items, whole, strict=True):
        if text is None:
            assert out is item
        elif text[0] == "x":
            assert isinstance(out, Problem)
            assert (out.where, out.excerpt) == (item.where, text)
        else:
            assert out == (item, len(text))


def test_a_shard_without_samples_asks_for_no_scores() -> None:
    def never(samples: Sequence[Sample]) -> dict[str, int | Problem]:
        pytest.fail("nothing is to be scored")

    items = rows([None, None])
    assert list(score_shard(items, never)) == items
    assert list(score_rows([], never)) == []
