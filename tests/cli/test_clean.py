from __future__ import annotations

from pathlib import Path

import pytest

from sqsd_lint.cli.app import main


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "cache"
    for name in ("scores.sqlite", "scores.sqlite-wal", "digests.json", "mine.txt", "bundles/a/bundle.json"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 500_000)
    return root


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_clean_removes_scores_only(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", "--cache-dir", str(cache)]) == 0
    assert names(cache) == ["bundles", "digests.json", "mine.txt"]
    assert capsys.readouterr().out == f"Removed 1.0 MB from {cache}.\n"


def test_clean_all_removes_whatever_is_ours(cache: Path) -> None:
    assert main(["clean", "--all", "--cache-dir", str(cache)]) == 0
    assert names(cache) == ["mine.txt"]


def test_the_environment_names_the_cache(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SQSD_LINT_CACHE_DIR", str(cache))
    assert main(["clean"]) == 0
    assert "scores.sqlite" not in names(cache)
    assert main(["clean"]) == 0
    assert capsys.readouterr().out.endswith(f"Nothing to remove in {cache}.\n")


def test_a_link_is_removed_and_its_target_stays(cache: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "keep").write_text("x", encoding="utf-8")
    (cache / "models").symlink_to(target, target_is_directory=True)
    assert main(["clean", "--all", "--cache-dir", str(cache)]) == 0
    assert (target / "keep").exists()
    assert not (cache / "models").is_symlink()


def test_a_cache_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    assert main(["clean", "--cache-dir", str(tmp_path / "none")]) == 0
