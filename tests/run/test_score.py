"""`score` with one bundle and with several, through the commands' use case and through the library."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import sqsd_lint
from sqsd_lint.config import Settings
from sqsd_lint.errors import UsageError
from sqsd_lint.rules.consensus import Consensus
from sqsd_lint.run import score as run_score
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.types import Problem, ScoredRow

ROWS = [{"question": f"What is {i} and {i}?", "answer": f"It is {'so ' * (i % 3)}{2 * i}."} for i in range(8)]
Run = Callable[..., Settings]


@pytest.fixture
def run(two_bundles: tuple[str, str], tiny_model_folder: Path, tmp_path: Path) -> Run:
    def settings(*paths: object, **changes: object) -> Settings:
        base = Settings(
            paths=tuple(map(str, paths)),
            bundle=two_bundles[0],
            opinions=two_bundles,
            model=str(tiny_model_folder),
            device="cpu",
            dtype="float32",
            warning_threshold="p60",
            threshold="p80",
            cache_dir=str(tmp_path / "cache"),
        )
        return replace(base, **changes)  # type: ignore[arg-type]

    return settings


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def alone(settings: Settings) -> list[list[ScoredRow]]:
    """What each bundle scores when it is the only one."""
    return [
        [r for r in run_score.score(replace(settings, bundle=b, opinions=())) if isinstance(r, ScoredRow)]
        for b in settings.opinions
    ]


def test_every_opinion_is_that_of_its_bundle(run: Run, data: Path) -> None:
    settings = run(data)
    found = list(run_score.score(settings))
    each = alone(settings)
    assert len(found) == len(ROWS)
    alone_risky = set()
    for i, row in enumerate(found):
        assert isinstance(row, ScoredRow)
        assert replace(row, opinions=()) == each[0][i]
        assert row.where.line == i + 1
        assert [o.bundle for o in row.opinions] == ["tiny", "two"]
        assert [o.score for o in row.opinions] == [rows[i].score for rows in each]
        assert [o.percentile for o in row.opinions] == [rows[i].percentile for rows in each]
        seen = Consensus.of(row)
        assert seen.mean_percentile == pytest.approx(sum(rows[i].percentile or 0 for rows in each) / 2)
        assert seen.max_percentile == max(rows[i].percentile or 0 for rows in each)
        alone_risky.add(seen.only)
    assert alone_risky - {None}, "some row only one finds risky"


def test_the_library_scores_with_every_bundle(run: Run, data: Path) -> None:
    settings = run(data)
    shared = {key: getattr(settings, key) for key in ("model", "device", "dtype", "cache_dir")}
    shared |= {"threshold": "p80", "warning_threshold": "p60"}
    found = list(sqsd_lint.score(data, bundle=list(settings.opinions), **shared))
    assert found == list(run_score.score(settings))
    assert {len(row.opinions) for row in found if isinstance(row, ScoredRow)} == {2}
    (one,) = settings.opinions[:1]
    assert list(sqsd_lint.score(data, bundle=[one], **shared)) == alone(settings)[0]


def test_one_bundle_has_no_opinions_and_streams(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqsd_lint.run.shards.shards.__defaults__", (2,))
    scored: list[int] = []
    whole = ModelScorer.score

    def counted(self: ModelScorer, samples: list[object]) -> object:
        scored.append(len(samples))
        return whole(self, samples)  # type: ignore[arg-type]

    monkeypatch.setattr(ModelScorer, "score", counted)
    rows = run_score.score(run(data, opinions=()))
    first = next(rows)
    assert isinstance(first, ScoredRow)
    assert (first.opinions, scored) == ((), [2])
    assert len(list(rows)) == len(ROWS) - 1
    assert scored == [2] * 4


def test_one_model_is_in_memory_at_a_time(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[ModelScorer] = []
    most = [0]
    build, release = ModelScorer._build, ModelScorer.release

    def counted(self: ModelScorer) -> object:
        loaded.append(self)
        most[0] = max(most[0], len(loaded))
        return build(self)

    def gone(self: ModelScorer) -> None:
        if self in loaded:
            loaded.remove(self)
        release(self)

    monkeypatch.setattr(ModelScorer, "_build", counted)
    monkeypatch.setattr(ModelScorer, "release", gone)
    list(run_score.score(run(data)))
    assert most == [1]
    assert loaded == []


def test_a_row_that_cannot_be_scored_is_no_agreement(run: Run, data: Path) -> None:
    data.write_text(data.read_text() + '{"question": "q", "answer": ""}\n{broken\n')
    found = list(run_score.score(run(data)))
    assert [item.code for item in found if isinstance(item, Problem)] == ["SQSD301", "SQSD303"]
    assert len(found) == len(ROWS) + 2


def test_a_bundle_that_finds_no_update_is_named(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(run_score.score(run(data)))  # the cache knows all
    from sqsd_lint.run.bundle_run import BundleRun

    whole = BundleRun.scored_row

    def no_update(self: BundleRun, sample: object, score: object) -> ScoredRow:
        row = whole(self, sample, score)  # type: ignore[arg-type]
        zero = self.bundle.id == "two" and row.where.line == 3
        return replace(row, score=replace(row.score, danger=0.0)) if zero else row

    monkeypatch.setattr(BundleRun, "scored_row", no_update)
    (problem,) = (item for item in run_score.score(run(data)) if isinstance(item, Problem))
    assert (problem.code, problem.where.line) == ("SQSD301", 3)
    assert problem.message == "two: the row's update is zero, so it has no direction"


def test_without_a_calibration_there_are_scores_but_no_percentiles(
    run: Run, data: Path, tiny_bundle: Path
) -> None:
    settings = run(data, threshold=None, warning_threshold=None)
    found = list(run_score.score(replace(settings, opinions=(str(tiny_bundle), settings.opinions[1]))))
    assert len(found) == len(ROWS)
    for row in found:
        assert isinstance(row, ScoredRow)
        seen = Consensus.of(row)
        assert seen.mean_percentile is seen.max_percentile is seen.agreement is seen.only is None
        assert seen.opinions[1].percentile is not None


def test_one_bundle_twice_is_refused(run: Run, data: Path, two_bundles: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="named twice"):
        list(run_score.score(run(data, opinions=(two_bundles[0], two_bundles[0]))))


def test_standard_input_is_read_once_for_all_bundles(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data.read_bytes())))
    found = list(run_score.score(run("-")))
    assert [row.fingerprint for row in found] == [row.fingerprint for row in run_score.score(run(data))]
    assert {len(row.opinions) for row in found if isinstance(row, ScoredRow)} == {2}


@pytest.mark.parametrize("later", [ROWS[:-1], [*ROWS, ROWS[0]], ROWS[::-1]])
def test_a_file_that_changes_between_two_bundles_is_refused(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch, later: list[object]
) -> None:
    release = ModelScorer.release

    def changed(self: ModelScorer) -> None:
        data.write_text("".join(json.dumps(row) + "\n" for row in later))
        release(self)

    monkeypatch.setattr(ModelScorer, "release", changed)
    with pytest.raises(UsageError, match="changed while it was read"):
        list(run_score.score(run(data)))


def test_what_happened_to_the_cache_is_told_at_the_end(run: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/scores.sqlite").write_bytes(b"nonsense" * 1000)
    notes: list[str] = []
    rows = list(run_score.score(run(data), note=notes.append))
    assert all(isinstance(row, ScoredRow) for row in rows)
    assert [note.partition("(")[0] for note in notes] == ["the score cache was damaged "]
