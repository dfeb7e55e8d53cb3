"""Where a path enters a repository, and what it meets there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sqsd_lint.discover.resolve_links import ResolvedPath, resolve

pytestmark = pytest.mark.skipif(os.name != "posix", reason="symbolic links")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    top = tmp_path / "repo"
    for folder in ("a/b", "other", "inner/.git", "inner/x"):
        (top / folder).mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "into").symlink_to("repo/a")
    (top / "a" / "out").symlink_to(tmp_path / "outside")
    (top / "a" / "back").symlink_to("../../repo/other")
    (top / "a" / "loop").symlink_to("loop")
    monkeypatch.chdir(top)
    return top


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".", ResolvedPath("", (), "")),
        ("a/b", ResolvedPath("a/b", (), "a/b")),
        ("a/none/x", ResolvedPath("a/none/x", (), "a/none/x")),
        ("a/../other", ResolvedPath("other", (), "other")),
        ("..", ResolvedPath(None, (), None)),
        ("../outside/x", ResolvedPath(None, (), None)),
        ("../repo/a", ResolvedPath("a", (), "a")),
        ("a/out/x", ResolvedPath("a/out/x", ("a/out",), None)),
        ("a/back/x", ResolvedPath("a/back/x", ("a/back",), "other/x")),
        ("../into/out/x", ResolvedPath("a/out/x", ("a/out",), None)),
        ("a/back/../b", ResolvedPath("a/b", ("a/back",), "b")),
        ("a/out/../repo/a", ResolvedPath("a/repo/a", ("a/out",), "a")),
        ("inner/x", ResolvedPath("inner/x", ("inner",), "inner/x")),
    ],
)
def test_ways(root: Path, path: str, expected: ResolvedPath) -> None:
    assert resolve(path, str(root)) == expected
    assert resolve(str(root / path), str(root)) == expected
    real = os.path.realpath(path)
    led_inside = real == str(root) or real.startswith(f"{root}/")
    assert (expected.end is not None) == led_inside
    if led_inside:
        assert os.path.join(root, expected.end or "").rstrip("/") == real


def test_a_loop_ends(root: Path) -> None:
    assert resolve("a/loop/x", str(root)).name == "a/loop/x"


def test_a_link_above_the_repository_changes_nothing(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to("repo")
    assert resolve(str(tmp_path / "alias" / "a" / "b"), str(root)) == ResolvedPath("a/b", (), "a/b")
    assert resolve(str(root / "a"), str(tmp_path / "alias")) == ResolvedPath("a", (), "a")
