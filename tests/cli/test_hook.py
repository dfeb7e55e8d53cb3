"""`sqsd-lint hook`: where hooks go, what happens to those of others, and what pre-commit's call becomes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sqsd_lint.cli.app import main
from sqsd_lint.config import Settings
from sqsd_lint.resources import hooks_dir
from tests.cli.conftest import FakePipeline

FOREIGN = b"#!/bin/sh\nexit 0\n"


def git(*args: str | Path, cwd: Path) -> str:
    done = subprocess.run(["git", *map(str, args)], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No git or sqsd-lint settings but those of a test."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "SQSD_LINT_", "PRE_COMMIT"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "A")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "a@example.org")
    return tmp_path


@pytest.fixture
def repo(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new repository, which is the working folder."""
    path = home / "a repo"
    path.mkdir()
    git("init", "-q", "-b", "main", cwd=path)
    monkeypatch.chdir(path)
    return path


def source(name: str) -> bytes:
    return (hooks_dir() / name).read_bytes()


def test_install_puts_the_hook_in_place_once(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hook = repo / ".git/hooks/pre-commit"
    assert main(["hook", "install"]) == 0
    assert hook.read_bytes() == source("pre-commit")
    assert os.access(hook, os.X_OK)
    assert main(["hook", "install"]) == 0
    assert capsys.readouterr().out == f"{hook}: installed\n{hook}: in place already\n"
    hook.write_bytes(source("pre-commit") + b"# of an older version\n")
    assert main(["hook", "install"]) == 0
    assert hook.read_bytes() == source("pre-commit")
    assert not list(hook.parent.glob("*.before-sqsd-lint"))


def test_install_remembers_the_command_of_its_own_environment(repo: Path) -> None:
    assert main(["hook", "install", "--hook", "pre-push"]) == 0
    command = git("config", "sqsd-lint.command", cwd=repo)
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("sqsd-lint ")
    assert main(["hook", "uninstall"]) == 0
    assert git("config", "--get-regexp", ".*", cwd=repo).count("sqsd-lint") == 0


def test_a_bare_repository_gets_pre_receive(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("init", "-q", "--bare", "server.git", cwd=home)
    monkeypatch.chdir(home / "server.git")
    assert main(["hook", "install"]) == 0
    assert (home / "server.git/hooks/pre-receive").read_bytes() == source("pre-receive")
    assert not (home / "server.git/hooks/pre-commit").exists()


def test_several_hooks_from_a_folder_below(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repo / "data").mkdir()
    monkeypatch.chdir(repo / "data")
    assert main(["hook", "install", "--hook", "pre-commit", "--hook", "pre-push"]) == 0
    ours = {path.name for path in (repo / ".git/hooks").iterdir() if path.suffix != ".sample"}
    assert ours == {"pre-commit", "pre-push"}


def test_hooks_path_and_worktrees_count(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("commit", "-q", "--allow-empty", "-m", "one", cwd=repo)
    git("worktree", "add", "-q", repo.parent / "linked", cwd=repo)
    monkeypatch.chdir(repo.parent / "linked")
    assert main(["hook", "install"]) == 0
    assert (repo / ".git/hooks/pre-commit").is_file()
    git("config", "core.hooksPath", ".githooks", cwd=repo)
    assert main(["hook", "install"]) == 0
    assert (repo.parent / "linked/.githooks/pre-commit").is_file()


@pytest.mark.parametrize("kind", ["file", "link", "broken link"])
def test_a_foreign_hook_is_refused_and_with_force_kept(
    kind: str, repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hook = repo / ".git/hooks/pre-commit"
    kept = hook.with_name("pre-commit.before-sqsd-lint")
    if kind == "file":
        hook.write_bytes(FOREIGN)
    else:
        target = hook.with_name("shared")
        if kind == "link":  # even to a hook of ours: the link is somebody's own
            target.write_bytes(source("pre-commit"))
        hook.symlink_to("shared")
    before = os.lstat(hook).st_ino
    assert main(["hook", "install"]) == 2
    assert "--force" in capsys.readouterr().err
    assert os.lstat(hook).st_ino == before

    for _ in range(2):
        assert main(["hook", "install", "--force"]) == 0
        assert hook.read_bytes() == source("pre-commit")
        assert os.lstat(kept).st_ino == before
    assert main(["hook", "uninstall"]) == 0
    assert os.lstat(hook).st_ino == before
    assert not os.path.lexists(kept)


def test_a_kept_hook_is_never_overwritten(repo: Path) -> None:
    hook = repo / ".git/hooks/pre-commit"
    kept = hook.with_name("pre-commit.before-sqsd-lint")
    hook.write_bytes(FOREIGN)
    assert main(["hook", "install", "--force"]) == 0
    hook.write_bytes(b"#!/bin/sh\n# a third one\n")
    assert main(["hook", "install", "--force"]) == 2
    assert kept.read_bytes() == FOREIGN


def test_uninstall_leaves_what_is_not_ours(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hook = repo / ".git/hooks/pre-commit"
    hook.write_bytes(FOREIGN)
    assert main(["hook", "uninstall"]) == 0
    assert hook.read_bytes() == FOREIGN
    out = capsys.readouterr().out
    assert "left alone" in out
    assert "pre-push: not installed" in out


@pytest.mark.parametrize(
    ("args", "says"),
    [(["install", "--hook", "post-commit"], "post-commit"), (["uninstall", "--hook", ""], "''")],
)
def test_an_unknown_hook_is_named(
    args: list[str], says: str, repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["hook", *args]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert "pre-receive" in err


def test_outside_of_a_repository(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(home.parent))
    monkeypatch.chdir(home)
    assert main(["hook", "install"]) == 2
    assert "needs a git repository" in capsys.readouterr().err


# What pre-commit calls


Called = Callable[..., "Settings | None"]


@pytest.fixture
def called(pipeline: FakePipeline, repo: Path, monkeypatch: pytest.MonkeyPatch) -> Called:
    """Runs `sqsd-lint hook run ARGS` in `repo`: the settings of the check, None where there was none."""
    monkeypatch.chdir(repo)
    (repo / "a.jsonl").write_text("{}\n")
    git("add", "a.jsonl", cwd=repo)
    git("commit", "-q", "-m", "one", cwd=repo)

    def run(*args: str, since: str = "") -> Settings | None:
        monkeypatch.setenv("PRE_COMMIT_FROM_REF", since)
        pipeline.settings = None
        assert main(["hook", "run", *args]) == 0
        return pipeline.settings

    return run


def test_staged_files_are_compared_with_head(called: Called, repo: Path) -> None:
    for name in ("b.jsonl", "c d.csv"):
        (repo / name).write_text("{}\n")
    git("add", ".", cwd=repo)
    settings = called("--threshold", "3", "b.jsonl", "./c d.csv")
    assert settings is not None
    assert (settings.paths, settings.threshold) == (("b.jsonl", "./c d.csv"), "3")
    assert (settings.staged, settings.changed_since, settings.force_exclude) == (True, None, True)


def test_files_that_are_not_all_staged_are_judged_whole(called: Called, repo: Path) -> None:
    (repo / "b.jsonl").write_text("{}\n")
    git("add", ".", cwd=repo)
    settings = called("a.jsonl", "b.jsonl")
    assert settings is not None
    assert (settings.staged, settings.changed_since) == (False, "none")


def test_a_push_is_compared_with_what_the_framework_names(called: Called) -> None:
    settings = called("a.jsonl", since="origin/main")
    assert settings is not None
    assert (settings.staged, settings.changed_since) == (False, "origin/main")


def test_the_arguments_of_the_hook_win(called: Called) -> None:
    settings = called("--changed-since", "v1", "a.jsonl", since="origin/main")
    assert settings is not None
    assert settings.changed_since == "v1"


def test_what_a_search_passes_by_is_passed_by(called: Called) -> None:
    assert called("package.json", "web/tsconfig.json", "data/x.quarantine.jsonl") is None
    settings = called("package.json", "a.jsonl")
    assert settings is not None
    assert settings.paths == ("a.jsonl",)


@pytest.mark.parametrize("name", ["data", "data/a.jsonl", "./data/"])
def test_the_configured_paths_hold_for_files_that_a_framework_names(
    name: str, called: Called, repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repo / "sqsd-lint.toml").write_text(f'paths = ["{name}"]\n')
    settings = called("data/a.jsonl", "database/b.jsonl", "a.jsonl")
    assert settings is not None
    assert settings.paths == ("data/a.jsonl",)
    said = capsys.readouterr().err
    assert "2 files are outside of the configured paths: database/b.jsonl, a.jsonl" in said
    assert called("a.jsonl") is None


def test_wrong_arguments_are_named(called: Called, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hook", "run", "--no-such-option", "a.jsonl"]) == 2
    assert "--no-such-option" in capsys.readouterr().err


def test_what_is_left_out_is_named(called: Called, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("data/train-config.json", "x.schema.json", "b.quarantine.jsonl") is None
    said = capsys.readouterr().err
    assert "data/train-config.json, x.schema.json" in said
    assert "1 quarantine file was not read: b.quarantine.jsonl" in said


def test_a_push_of_objects_that_stand_for_others_is_refused(
    called: Called, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PRE_COMMIT_REMOTE_BRANCH", f"refs/replace/{'0' * 40}")
    assert main(["hook", "run", "a.jsonl"]) == 2
    assert "refs/replace/" in capsys.readouterr().err
