"""`score --output-dir`: what belongs to it, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sqsd_lint.cli.app import main
from sqsd_lint.config import Settings
from sqsd_lint.run import score_shards
from sqsd_lint.run.score_shards import ShardedRun, ShardsScored

Asked = tuple[Settings, ShardedRun]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Asked]]:
    """Let a run end in a way, and return what it was asked for."""
    seen: list[Asked] = []

    def prepare(outcome: ShardsScored) -> list[Asked]:
        def score_into(settings: Settings, plan: ShardedRun, *, progress: object = None) -> ShardsScored:
            seen.append((settings, plan))
            return outcome

        monkeypatch.setattr(score_shards, "score_into", score_into)
        return seen

    return prepare


def test_options_say_how_shards_are_scored(
    asked: Callable[..., list[Asked]], capsys: pytest.CaptureFixture[str]
) -> None:
    done = ShardsScored(shards=8, before=3, computed=5, rows=60, scored=60, fresh_rows=30, seconds=2.0)
    seen = asked(done)
    options = ["--shard", "2/4", "--shard-rows", "100", "--workers", "3", "--no-scorer"]
    assert main(["score", "data", "--output-dir", "out", *options]) == 0
    cluster = ["--engine", "ray", "--ray-address", "auto"]
    assert main(["score", "data", "--output-dir", "out", *cluster, "--quiet"]) == 0
    assert seen[0][1] == ShardedRun(Path("out"), "3", (2, 4), 100)
    assert seen[1][1] == ShardedRun(Path("out"), engine="ray", ray_address="auto")
    out, err = capsys.readouterr()
    assert out == ""
    assert "8 shards: 5 scored now, 15.0 rows/s, 3 finished before, 0 given up" in err
    assert "scored 60 of 60 rows" in err
    assert err.count("shards") == 1  # --quiet


@pytest.mark.parametrize("why", ["lost", "unscored"])
def test_what_is_not_scored_is_exit_3(
    why: str, asked: Callable[..., list[Asked]], capsys: pytest.CaptureFixture[str]
) -> None:
    done = ShardsScored(shards=2, before=1, rows=9, scored=8)
    if why == "lost":
        done.lost = ("a.jsonl: it has cost 3 workers",)
    else:
        done.unscored["SQSD301"] = 1
    asked(done)
    assert main(["score", "data", "--output-dir", "out"]) == 3
    assert main(["score", "data", "--output-dir", "out", "--allow", "SQSD301"]) == (3 if why == "lost" else 0)
    assert ("given up: a.jsonl" in capsys.readouterr().err) == (why == "lost")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shard", "1/2"], "--shard is about shards"),
        (["--engine", "ray"], "--engine is about shards"),
        (["--output-dir", "o", "--output-file", "f.jsonl"], "--output-file and --output-dir contradict"),
        (["--output-dir", "o", "--emit-spans"], "--emit-spans and --output-dir contradict"),
        (["--output-dir", "o", "--shard", "3/2"], "'3/2' is not I/N"),
        (["--output-dir", "o", "--ray-address", "auto"], "--ray-address: no cluster is used"),
        (["--output-dir", "o", "--workers", "0"], "workers"),
        (["--output-dir", "o", "--bundle", "a", "--bundle", "b"], "several bundles"),
        (["--output-dir", "o", "--scorer", "http://127.0.0.1:9"], "shards are scored here"),
    ],
)
def test_contradictions_are_refused_before_anything_is_written(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.jsonl").write_text("{}\n")
    assert main(["score", "data.jsonl", "--isolated", *options]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]


def test_standard_input_cannot_be_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "-", "--isolated", "--output-dir", str(tmp_path / "o")]) == 2
    assert "standard input cannot be cut" in capsys.readouterr().err
