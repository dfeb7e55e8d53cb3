"""Several bundles on the same rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.errors import UsageError
from sqsd_lint.rules.consensus import Consensus
from sqsd_lint.run import consensus
from sqsd_lint.run import score as run_score
from sqsd_lint.types import Problem, ScoredRow

ROWS = [{"question": f"What is {i} and {i}?", "answer": f"It is {'so ' * (i % 3)}{2 * i}."} for i in range(8)]


@pytest.fixture
def run(
    two_bundles: tuple[str, str], tiny_model_folder: Path, tmp_path: Path
) -> Callable[..., list[Settings]]:
    def settings(*paths: object, **changes: object) -> list[Settings]:
        base = Settings(
            paths=tuple(map(str, paths)),
            model=str(tiny_model_folder),
            device="cpu",
            dtype="float32",
            warning_threshold="p60",
            threshold="p80",
            cache_dir=str(tmp_path / "cache"),
        )
        base = replace(base, **changes)  # type: ignore[arg-type]
        return [replace(base, bundle=b) for b in two_bundles]

    return settings


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_every_opinion_is_that_of_its_bundle(run: Callable[..., list[Settings]], data: Path) -> None:
    settings = run(data)
    found = list(consensus.score(settings))
    alone = [[r for r in run_score.score(s) if isinstance(r, ScoredRow)] for s in settings]
    assert len(found) == len(ROWS)
    for i, row in enumerate(found):
        assert isinstance(row, Consensus)
        assert (row.where.line, row.fingerprint) == (i + 1, alone[0][i].fingerprint)
        assert [o.bundle for o in row.opinions] == ["tiny", "two"]
        assert [o.score for o in row.opinions] == [rows[i].score for rows in alone]
        assert [o.percentile for o in row.opinions] == [rows[i].percentile for rows in alone]
        assert row.mean_percentile == pytest.approx(sum(rows[i].percentile or 0 for rows in alone) / 2)
        assert row.max_percentile == max(rows[i].percentile or 0 for rows in alone)
    assert {row.only for row in found if isinstance(row, Consensus)} - {None}, "some row only one finds risky"


def test_one_model_is_in_memory_at_a_time(
    run: Callable[..., list[Settings]], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqsd_lint.run.model_scorer import Engine

    loaded: list[Engine] = []
    most = [0]
    build, release = Engine._build, Engine.release

    def counted(self: Engine) -> object:
        loaded.append(self)
        most[0] = max(most[0], len(loaded))
        return build(self)

    def gone(self: Engine) -> None:
        if self in loaded:
            loaded.remove(self)
        release(self)

    monkeypatch.setattr(Engine, "_build", counted)
    monkeypatch.setattr(Engine, "release", gone)
    list(consensus.score(run(data)))
    assert most == [1]
    assert loaded == []


def test_a_row_that_cannot_be_scored_is_no_agreement(run: Callable[..., list[Settings]], data: Path) -> None:
    data.write_text(data.read_text() + '{"question": "q", "answer": ""}\n{broken\n')
    found = list(consensus.score(run(data)))
    assert [item.code for item in found if isinstance(item, Problem)] == ["SQSD301", "SQSD303"]
    assert len(found) == len(ROWS) + 2


def test_without_a_calibration_there_are_scores_but_no_percentiles(
    run: Callable[..., list[Settings]], data: Path, tiny_bundle: Path
) -> None:
    first, second = run(data, threshold=None, warning_threshold=None)
    found = list(consensus.score([replace(first, bundle=str(tiny_bundle)), second]))
    for row in found:
        assert isinstance(row, Consensus)
        assert row.mean_percentile is row.max_percentile is row.agreement is row.only is None
        assert row.opinions[1].percentile is not None


def test_what_makes_no_consensus(run: Callable[..., list[Settings]], data: Path) -> None:
    one, two = run(data)
    for wrong, match in (([one], "two bundles or more"), ([one, one], "named twice")):
        with pytest.raises(UsageError, match=match):
            list(consensus.score(wrong))
    with pytest.raises(UsageError, match="standard input"):
        list(consensus.score([replace(s, paths=("-",)) for s in (one, two)]))
