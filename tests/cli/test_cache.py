"""`cache export` and `cache merge` as they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from sqsd_lint.cli.app import main
from sqsd_lint.scoring.cache import ScoreCache, cache_path, scorer_key
from sqsd_lint.types import Score

KEY = scorer_key({"bundle": "one"})


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    with ScoreCache(cache_path(tmp_path / "cache"), KEY) as cache:
        cache.put(Score(f"{i:032x}", 1.0 * i, 0.5, i - 0.5, 10) for i in range(1, 4))
    return str(tmp_path / "cache")


@pytest.mark.parametrize("name", ["scores.jsonl", "scores.parquet"])
def test_there_and_back(filled: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "export", name, "--cache-dir", filled]) == 0
    assert main(["cache", "merge", name, "--cache-dir", "other"]) == 0
    assert main(["cache", "merge", name, name, "--cache-dir", "other"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"{name}: 3 scores by 1 combination of bundle and settings",
        f"{name}: 3 scores added, 0 known already",
        *[f"{name}: 0 scores added, 3 known already"] * 2,
    ]
    assert err == ""


def test_refused_rows_are_exit_3(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "export", "scores.jsonl", "--cache-dir", filled]) == 0
    text = Path("scores.jsonl").read_text()
    Path("scores.jsonl").write_text(text.replace('"danger": 2.0', '"danger": -2.0'))
    capsys.readouterr()
    assert main(["cache", "merge", "scores.jsonl", "--cache-dir", "other"]) == 3
    out, err = capsys.readouterr()
    assert out == "scores.jsonl: 2 scores added, 0 known already\n"
    assert err == "scores.jsonl: 1 row refused: row 2: its checksum does not fit its values\n"


def test_another_score_of_a_row_is_told(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    with ScoreCache(cache_path(Path("other")), KEY) as cache:
        cache.put([Score(f"{1:032x}", 9.0, 0.5, 8.5, 10)])
    assert main(["cache", "merge", str(cache_path(Path(filled))), "--cache-dir", "other"]) == 0
    told = "2 scores added, 1 known already (1 with another score, which was not taken)\n"
    assert capsys.readouterr().out.endswith(told)


def test_a_damaged_cache_is_told(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    cache_path(Path(filled)).write_bytes(b"This is no database." * 100)
    assert main(["cache", "export", "scores.jsonl", "--cache-dir", filled]) == 0
    out, err = capsys.readouterr()
    assert out == "scores.jsonl: 0 scores by 0 combinations of bundle and settings\n"
    assert err.startswith("the score cache was damaged (file is not a database) and has been set aside")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["export", "scores.csv"], "no format to export to"),
        (["export", "none/scores.jsonl"], "there is no folder none"),
        (["export", "scores.jsonl", "--cache-dir", "empty"], "no score cache to export"),
        (["merge", "none.jsonl"], "no such file"),
        (["merge"], "Missing argument"),
    ],
)
def test_wrong_usage(filled: str, args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(Path().iterdir())
    assert main(["cache", *args]) == 2
    assert message in capsys.readouterr().err
    assert sorted(Path().iterdir()) == before
