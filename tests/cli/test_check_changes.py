"""The options of `check` that ask git, that pin the policy and that accept findings."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sqsd_lint.cli.app import main
from sqsd_lint.config import Settings
from tests.cli.conftest import FakePipeline
from tests.repository import Repository


@pytest.fixture
def repo(pipeline: FakePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    return Repository.here(tmp_path / "repo", monkeypatch)


def test_options_reach_the_settings(pipeline: FakePipeline) -> None:
    args = [
        *("check", "--staged", "--scope", "files", "--fail-on", "warning", "--baseline", "known.json"),
        *("--suppressions", "seen.toml", "--no-inline-suppressions", "--learning-rate", "2e-5"),
        *("--epochs", "1.5", "--batch-size", "16", "--per-file-ignores", "old/*.jsonl=SQSD101, SQSD302"),
        *("--per-file-ignores", "old/*.jsonl=SQSD102", "--per-file-ignores", "a=b=SQSD2"),
    ]
    assert main(args) == 0
    assert pipeline.settings == Settings(
        staged=True,
        scope="files",
        fail_on="warning",
        baseline="known.json",
        suppressions="seen.toml",
        inline_suppressions=False,
        learning_rate=2e-5,
        epochs=1.5,
        batch_size=16,
        per_file_ignores={"old/*.jsonl": ["SQSD101", "SQSD302", "SQSD102"], "a": ["b=SQSD2"]},
    )
    assert main(["check", "--no-baseline", "--changed-since", "main"]) == 0
    assert pipeline.settings == Settings(baseline="", changed_since="main")


@pytest.mark.parametrize(
    "args",
    [
        ("--baseline", "x", "--no-baseline"),
        ("--per-file-ignores", "x"),
        ("--fail-on", "never"),
        ("--scope", "lines"),
        ("--epochs", "many"),
    ],
)
def test_what_is_refused(
    args: tuple[str, ...], pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *args]) == 2
    assert args[0].removeprefix("--") in capsys.readouterr().err
    assert pipeline.settings is None


def test_the_policy_of_a_commit(
    repo: Repository, pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    repo.write("sqsd-lint.toml", 'threshold = "p99"\nselect = ["SQSD101"]\n')
    repo.commit()
    repo.write("sqsd-lint.toml", 'threshold = "1000"\nignore = ["SQSD101"]\n')
    assert main(["check", "--policy-ref", "HEAD"]) == 0
    assert pipeline.settings == Settings(threshold="p99", select=("SQSD101",), policy_ref="HEAD")
    said = " ".join(capsys.readouterr().out.split())
    assert "note: configuration, rules, baseline and suppressions are those of HEAD (" in said
    assert main(["check", "--policy-ref", "HEAD", "--isolated", "--threshold", "7"]) == 0
    assert pipeline.settings == Settings(threshold="7", policy_ref="HEAD", baseline="", suppressions="")
    assert main(["check", "--policy-ref", "nowhere"]) == 2
    assert "no commit 'nowhere'" in capsys.readouterr().err


class TestInCi:
    @pytest.fixture
    def event(self, repo: Repository, monkeypatch: pytest.MonkeyPatch) -> str:
        repo.rows("a.jsonl", 1)
        base = repo.commit()
        path = repo.write(".git/event.json", json.dumps({"pull_request": {"base": {"sha": base}}}))
        values = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_EVENT_PATH": str(path),
            "GITHUB_WORKSPACE": str(repo.root),
        }
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        return base

    def test_a_pull_request_is_compared_with_its_base(self, event: str, pipeline: FakePipeline) -> None:
        main(["check"])
        assert pipeline.settings == Settings(changed_since="auto")
        main(["check", "a.jsonl"])
        assert pipeline.settings == Settings(paths=("a.jsonl",), changed_since="auto")

    @pytest.mark.parametrize("value", ["none", "main", "auto"])
    def test_what_the_user_says_counts(self, value: str, event: str, pipeline: FakePipeline) -> None:
        main(["check", "--changed-since", value])
        assert pipeline.settings == Settings(changed_since=value)
        Path("sqsd-lint.toml").write_text(f'changed-since = "{value}"\n')
        main(["check"])
        assert pipeline.settings == Settings(changed_since=value)
        main(["check", "--changed-since", "other"])
        assert pipeline.settings == Settings(changed_since="other")

    def test_where_it_makes_no_sense(
        self, event: str, pipeline: FakePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        main(["check", "--staged"])
        assert pipeline.settings == Settings(staged=True)
        main(["check", "-"])
        assert pipeline.settings == Settings(paths=("-",))
        main(["score", "a.jsonl"])
        assert pipeline.settings == Settings(paths=("a.jsonl",))
        monkeypatch.setenv("GITHUB_EVENT_NAME", "push")
        main(["check"])
        assert pipeline.settings == Settings()
        monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
        os.chdir(tmp_path)
        main(["check"])
        assert pipeline.settings == Settings()
