from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.discover import ci_base, select
from sqsd_lint.errors import UsageError
from tests.repository import Repository


def github(folder: Path, event: Any, name: str = "pull_request", **more: str) -> dict[str, str]:
    path = folder / "event.json"
    path.write_text(event if isinstance(event, str) else json.dumps(event))
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": name,
        "GITHUB_EVENT_PATH": str(path),
        "GITHUB_WORKSPACE": str(folder),
        **more,
    }


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


PULL = {"pull_request": {"base": {"sha": "abc"}}}


def test_github(tmp_path: Path) -> None:
    assert ci_base(github(tmp_path, PULL)) == "abc"
    assert ci_base(github(tmp_path, {"merge_group": {"base_sha": "def"}}, "merge_group")) == "def"
    assert ci_base(github(tmp_path, {"before": "abc"}, "push")) is None
    # The base branch itself is checked out there, which has nothing new.
    assert ci_base(github(tmp_path, PULL, "pull_request_target")) is None


@pytest.mark.parametrize("event", ["", "{", "[" * 100_000, "[]", '{"pull_request": 3}', {"pull_request": {}}])
def test_an_event_that_says_nothing(event: Any, tmp_path: Path) -> None:
    assert ci_base(github(tmp_path, event)) is None
    assert ci_base(github(tmp_path, event, GITHUB_BASE_REF="main")) == "origin/main"


def test_gitlab(tmp_path: Path) -> None:
    environ = {"GITLAB_CI": "true", "CI_PROJECT_DIR": str(tmp_path)}
    assert ci_base(environ) is None
    assert ci_base({**environ, "CI_MERGE_REQUEST_DIFF_BASE_SHA": "abc"}) == "abc"


def test_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ci_base({}) is None
    assert ci_base({"GITHUB_EVENT_NAME": "pull_request"}) is None
    environ = github(tmp_path, PULL)
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    assert ci_base(environ) == "abc"
    monkeypatch.chdir(tmp_path.parent)
    assert ci_base(environ) is None
    monkeypatch.chdir(tmp_path)
    assert ci_base({**environ, "GITHUB_WORKSPACE": ""}) is None


def test_a_base_that_was_not_fetched_is_an_error(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.rows("a.jsonl", 1)
    base = repo.commit()
    repo.rows("a.jsonl", 1, 2)
    repo.commit()
    for name, value in github(repo.root, {"pull_request": {"base": {"sha": "12" * 20}}}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="--changed-since none judges every row"):
        select(["."], changed_since="auto")
    github(repo.root, {"pull_request": {"base": {"sha": base}}})
    found = select(["."], changed_since="auto")
    assert [file.name for file in found.files if file.old] == ["a.jsonl"]
    assert base[:12] in found.comparison
    found = select(["."], changed_since="none")
    assert (found.comparison, [file.old for file in found.files]) == ("", ["", ""])
