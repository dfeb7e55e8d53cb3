"""One bundle in a run: what it takes from the cache, and which rows it scores again exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeGuard

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.errors import UsageError
from sqsd_lint.rules import SecondLook, load_pack
from sqsd_lint.run import shards
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.run.rows import clean_samples, read_samples
from sqsd_lint.types import Problem, Sample, ScoredRow, Threshold
from tests.run.conftest import ROWS, write

Run = Callable[..., Settings]


def is_row(item: ScoredRow | Problem) -> TypeGuard[ScoredRow]:
    return isinstance(item, ScoredRow)


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


@pytest.mark.parametrize("in_order", [True, False])
def test_however_many_rows_are_near_few_are_held(
    tiny_run: Run, samples: list[Sample], in_order: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are settled by twos here, as those of a huge file are by thousands; some occur twice."""
    monkeypatch.setattr(shards, "SHARD_ROWS", 3)
    monkeypatch.setattr(shards.shards, "__defaults__", (3,))
    given = [*samples, samples[0], samples[5]]
    settings = tiny_run(cache=False)
    everywhere = [
        Threshold("raw", row.score.sqsd) for row in BundleRun(settings).score(samples) if is_row(row)
    ]
    whole = BundleRun(settings)
    expected = list(whole.settle(list(whole.score(given, everywhere))))

    monkeypatch.setattr("sqsd_lint.run.bundle_run._LOOK_UP", 1)
    monkeypatch.setattr("sqsd_lint.run.bundle_run._HELD", 2)
    run = BundleRun(settings)
    asked: list[int] = []
    score = ModelScorer.score

    def counted(self: ModelScorer, samples: list[Sample]) -> Iterator[object]:
        assert self.exact or run.scorer is self
        if self.exact:
            asked.append(len(samples))
            assert run.model_scorer._loaded is None, "one model is in memory at a time"
        return score(self, samples)

    monkeypatch.setattr(ModelScorer, "score", counted)
    scored = run.score(given, everywhere)
    settled = []
    for row in run.settle(list(scored) if in_order else scored):
        settled.append(row)
        assert in_order or len(run._near) <= 2
    assert settled == expected
    assert all(is_row(row) and row.score.exact for row in settled)
    assert not run._near, "no sample is kept for longer than it is needed"
    assert asked
    assert max(asked) <= 2
    (note,) = run.row_notes
    assert note.startswith("10 rows lie so near a line that another device may decide otherwise")


def test_a_row_whose_verdict_is_the_same_on_either_side_is_not_scored_again(
    tiny_run: Run, samples: list[Sample]
) -> None:
    settings = tiny_run()
    fast = [row for row in BundleRun(settings).score(samples) if isinstance(row, ScoredRow)]
    lines = {"threshold": str(fast[2].score.sqsd), "warning_threshold": "1000"}
    policy = BundleRun(tiny_run(**lines)).policy(load_pack("default"))
    off = BundleRun(tiny_run(**lines, per_file_ignores={fast[2].where.file: ["SQSD1"]}))
    ignoring = off.policy(load_pack("default"))
    exact = []
    for each in (policy, ignoring):
        run = BundleRun(settings)
        scored = run.score(samples, each.distinct_thresholds, SecondLook(each))
        settled = [row for row in run.settle(scored) if isinstance(row, ScoredRow)]
        exact.append([row.fingerprint for row in settled if row.score.exact])
        assert len(settled) == len(samples)
        notes = " ".join(run.row_notes)
        assert ("1 row lies so near a line" in notes) == (each is policy)
        assert ("1 row near a line was not scored again exactly" in notes) == (each is ignoring)
    assert exact == [[fast[2].fingerprint], []]


@pytest.fixture
def in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs take what they are told for the number format in use, and bfloat16 for coarse."""
    coarse = {"bfloat16": 10.0, "float32": 1e-3}
    monkeypatch.setattr("sqsd_lint.run.model_scorer.resolve", lambda device, dtype, cache: ("cpu", dtype))
    monkeypatch.setattr(BundleRun, "_tolerance", lambda self, scorer: coarse[scorer.dtype])


@pytest.mark.usefixtures("in_bfloat16")
def test_from_another_format_float32_leaves_few_rows_to_exact_mode(
    tiny_run: Run, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = [row for row in BundleRun(tiny_run()).score(samples) if isinstance(row, ScoredRow)]
    ranked = sorted(plain, key=lambda row: row.score.sqsd)
    apart = next(
        row
        for i, row in enumerate(ranked[1:-1], 1)
        if min(row.score.sqsd - ranked[i - 1].score.sqsd, ranked[i + 1].score.sqsd - row.score.sqsd) > 2e-3
    )
    lines = [Threshold("raw", apart.score.sqsd + 1e-5)]
    asked: list[tuple[str, bool, int]] = []
    score = ModelScorer.score

    def counted(self: ModelScorer, samples: list[Sample]) -> Iterator[object]:
        asked.append((self.dtype, self.exact, len(samples)))
        return score(self, samples)

    monkeypatch.setattr(ModelScorer, "score", counted)
    settled: list[list[ScoredRow | Problem]] = []
    for at_once in (256, 1):  # the second time from the cache alone
        monkeypatch.setattr("sqsd_lint.run.bundle_run._LOOK_UP", at_once)
        run = BundleRun(tiny_run(dtype="bfloat16"))
        assert run.scorer.dtype == "bfloat16"
        settled.append(list(run.settle(run.score(samples, lines))))
        (note,) = run.row_notes
        assert note.endswith("judged by their scores in float32, of which 1 is exact")
        assert not run._near
    # The rows' scores in float32 were known from the first run above.
    assert asked == [("bfloat16", False, 8), ("float32", True, 1)]
    first, again = ({row.where: row for row in rows if is_row(row)} for rows in settled)
    assert first == again
    assert [key for key, row in first.items() if row.score.exact] == [apart.where]
    expected = {row.where: row.score for row in plain if row is not apart}
    assert {key: first[key].score for key in expected} == expected, "in float32, as they are without bfloat16"


@pytest.mark.usefixtures("in_bfloat16")
def test_float32_and_exact_mode_decide_as_exact_mode_alone(
    tiny_run: Run, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny_run(dtype="bfloat16", cache=False)
    run = BundleRun(settings)
    run.scorer = run.new_scorer(exact=True)
    exact = {row.where: row.score.sqsd for row in run.score(samples) if is_row(row)}
    for value in exact.values():
        line = [Threshold("raw", value)]
        run = BundleRun(settings)
        for row in run.settle(run.score(samples, line)):
            assert is_row(row)
            assert (row.score.sqsd >= value) == (exact[row.where] >= value)
            assert row.score.exact == (abs(exact[row.where] - value) <= 1e-3)


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
