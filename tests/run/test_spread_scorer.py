"""Rows by several processes of one machine: the same verdicts, whichever of them scores a row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.distributed import workers
from sqsd_lint.distributed.workers import Place
from sqsd_lint.run import check as run_check
from sqsd_lint.run import score as run_score
from sqsd_lint.run import spread_scorer
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.run.spread_scorer import SpreadScorer, local_places
from sqsd_lint.types import ScoredRow
from tests.run.conftest import ROWS, write

Run = Callable[..., Settings]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rows at once, so that eight rows are work for two."""
    monkeypatch.setattr(spread_scorer, "CHUNK", 3)


@pytest.mark.slow
def test_two_workers_give_the_scores_of_one(
    tiny_run: Run, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = {
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "thinking": "t"}]
    }
    file = write(tmp_path / "more.jsonl", *ROWS, odd)
    one = list(run_score.score(tiny_run(file, workers="1", cache=False)))
    started: list[int] = []
    begin = workers.Processes._start

    def counted(self: object, place: Place) -> object:
        started.append(1)
        return begin(self, place)  # type: ignore[arg-type]

    monkeypatch.setattr(workers.Processes, "_start", counted)
    two = list(run_score.score(tiny_run(file, workers="2")))
    assert len(started) == 2
    for ours, theirs in zip(two, one, strict=True):
        assert isinstance(ours, ScoredRow)
        assert isinstance(theirs, ScoredRow)
        assert (ours.where, ours.fingerprint) == (theirs.where, theirs.fingerprint)
        assert ours.score.sqsd == pytest.approx(theirs.score.sqsd, abs=1e-5)
    # The parent has kept the scores: nobody is started for a second run.
    report = run_check.check(tiny_run(file, workers="2"))
    assert (report.coverage.cached, len(started)) == (9, 2)
    assert [row.score for row in report.rows] == [row.score for row in two if isinstance(row, ScoredRow)]
    alone = run_check.check(tiny_run(file, workers="1", cache=False))
    assert report.head.notes == alone.head.notes
    assert any("does not write" in note for note in report.head.notes)


@pytest.mark.slow
def test_an_error_of_a_worker_is_the_errors_of_the_run(
    tiny_run: Run, rows_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Exception, match="empty") as error:
        run_check.check(tiny_run(rows_file, workers="2", model=str(tmp_path / "empty"), proxy=True))
    assert getattr(error.value, "hint", None)


def test_one_device_needs_no_process(tiny_run: Run, rows_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqsd_lint.scoring.device.cuda_devices", list)

    def never(*arguments: object) -> None:
        pytest.fail("a process was started")

    monkeypatch.setattr(workers.Processes, "__init__", never)
    assert run_check.check(tiny_run(rows_file)).coverage.scored == len(ROWS)


def test_workers_are_one_for_each_device(tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["cuda:0", "cuda:1", "cuda:2"]
    monkeypatch.setattr("sqsd_lint.scoring.device.cuda_devices", lambda: found)
    auto = tiny_run(device="auto")
    assert local_places(auto, "auto") == [Place(name) for name in found]
    assert local_places(auto, "2") == [Place("cuda:0"), Place("cuda:1")]
    assert local_places(auto, "1") == [Place()]
    # Where the settings name a device, or spread one model over all, there is one worker.
    assert local_places(tiny_run(device="cuda:1"), "auto") == [Place()]
    assert local_places(tiny_run(device="cpu"), "auto") == [Place()]
    assert local_places(tiny_run(device="auto", device_map="auto"), "auto") == [Place()]
    found.clear()
    assert local_places(auto, "auto") == [Place()]
    assert len(local_places(auto, "3")) == 3


def test_what_looks_inside_a_model_has_one(tiny_run: Run, rows_file: Path) -> None:
    from sqsd_lint.run.bundle_run import BundleRun

    run = BundleRun(tiny_run(rows_file, workers="2"))
    assert isinstance(run.model_scorer, SpreadScorer)
    assert isinstance(run.new_scorer(exact=True), ModelScorer)
    assert not isinstance(run.new_scorer(exact=True), SpreadScorer)
