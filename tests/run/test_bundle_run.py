"""One bundle in a run: what it takes from the cache, and which rows it scores again exactly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.errors import UsageError
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.rows import clean_samples, read_samples
from sqsd_lint.types import Problem, Sample, ScoredRow, Threshold
from tests.run.conftest import ROWS, write

Run = Callable[..., Settings]


@pytest.fixture
def samples(tiny_run: Run, rows_file: Path) -> list[Sample]:
    return list(clean_samples(str(rows_file), tiny_run()))


def test_rows_of_the_cache_are_counted_once(tiny_run: Run, samples: list[Sample]) -> None:
    run = BundleRun(tiny_run())
    first = list(run.score([*samples[:3], samples[0]]))
    assert (len(first), run.cached) == (4, 0)
    again = BundleRun(tiny_run())
    assert list(again.score([*samples[:3], samples[0]])) == first
    assert again.cached == 3


def test_rows_near_a_threshold_are_settled_and_no_others(tiny_run: Run, samples: list[Sample]) -> None:
    fast = [row for row in BundleRun(tiny_run()).score(samples) if isinstance(row, ScoredRow)]
    near = sorted(fast, key=lambda row: row.score.sqsd)[3]
    problem = Problem("SQSD303", samples[0].where, "not JSON")
    run = BundleRun(tiny_run())
    rows = list(run.score([problem, *samples], [Threshold("raw", near.score.sqsd + 1e-6)]))
    assert rows[1:] == fast
    first, *settled = run.settle(rows)
    assert first is problem
    assert getattr(settled[-1], "fingerprint", "") == near.fingerprint, "it comes last"
    settled.sort(key=lambda row: row.where.index)
    for before, after in zip(fast, settled, strict=True):
        assert isinstance(after, ScoredRow)
        assert after.score.exact is (before.fingerprint == near.fingerprint)
        assert after.score.sqsd == pytest.approx(before.score.sqsd, abs=1e-4)
        assert (after.where, after.excerpt) == (before.where, before.excerpt)
    assert run.cached == len(samples), "the exact look is not counted"


def test_without_a_near_row_nothing_is_settled(
    tiny_run: Run, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = BundleRun(tiny_run())
    rows = list(run.score(samples, [Threshold("raw", 1000.0)]))
    monkeypatch.setattr(BundleRun, "new_scorer", None)
    assert list(run.settle(rows)) == rows


def test_reference_scores_keep_their_order(tiny_run: Run, samples: list[Sample]) -> None:
    run = BundleRun(tiny_run())
    order = [*reversed(samples), samples[0]]
    assert [score.fingerprint for score in run.reference_scores(order)] == [s.fingerprint for s in order]


def test_a_reference_row_without_a_score_is_refused(tiny_run: Run, tmp_path: Path) -> None:
    from dataclasses import replace

    file = write(tmp_path / "a.jsonl", *ROWS[:1])
    sample = next(s for s in read_samples(str(file), tiny_run()) if isinstance(s, Sample))
    with pytest.raises(UsageError, match=r"a\.jsonl:1: "):
        BundleRun(tiny_run()).reference_scores([replace(sample, mask=(False, False), fingerprint="f" * 32)])


def test_fast_and_exact_scores_are_paired_from_the_top(tiny_run: Run, samples: list[Sample]) -> None:
    run = BundleRun(tiny_run())
    scores = run.reference_scores(samples)
    pairs = run.dtype_pairs(scores, {s.fingerprint: s for s in samples})
    assert [fast.sqsd for fast, _ in pairs] == sorted((s.sqsd for s in scores), reverse=True)
    assert all(exact.exact and not fast.exact for fast, exact in pairs)
    assert all(fast.sqsd == pytest.approx(exact.sqsd, abs=1e-4) for fast, exact in pairs)
