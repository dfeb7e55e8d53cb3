"""What judges the rows: from disk, and from a commit that the work tree cannot loosen."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.discover import find_files
from sqsd_lint.errors import ConfigError, ModelNotFoundError, SqsdLintError, UsageError
from sqsd_lint.rules import DEFAULT_BASELINE, DEFAULT_SUPPRESSIONS
from sqsd_lint.run import check as run_check
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.run.policy_source import PolicySource, open_policy_source
from tests.repository import Repository

DIGEST = "ab" * 16
BASELINE = {"version": 1, "findings": {}}
SUPPRESSIONS = f'[{DIGEST}]\nignore = ["SQSD101"]\nreason = "seen"\n'


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """An empty repository, which is the working folder."""
    return Repository.here(tmp_path / "repo", monkeypatch)


def pack(threshold: str) -> str:
    return json.dumps({"rules": {"SQSD101": {"severity": "error", "threshold": threshold}}})


def book(**settings: Any) -> PolicySource:
    with open_policy_source(Settings(**settings)) as found:
        return found


def test_from_disk(repo: Repository) -> None:
    assert book().accepted.baseline is None
    repo.write(DEFAULT_BASELINE, json.dumps(BASELINE))
    repo.write("own.json", pack("p95"))
    found = book(rules="own.json", inline_suppressions=False)
    assert found.pack.rules["SQSD101"].options["threshold"] == "p95"
    assert found.accepted.baseline is not None
    assert not found.accepted.inline
    assert found.notes == ()
    assert book(baseline="").accepted.baseline is None
    with pytest.raises(ConfigError, match=r"other\.json"):
        book(baseline="other.json")


def test_a_pack_of_the_commit(repo: Repository, tmp_path: Path) -> None:
    repo.write("own.json", pack("p95"))
    repo.commit()
    for text in (pack("1000"), "{"):
        repo.write("own.json", text)
        for name in ("own.json", "./own.json", str(repo.root / "own.json")):
            found = book(rules=name, policy_ref="HEAD")
            assert found.pack.rules["SQSD101"].options["threshold"] == "p95"
    repo.write("new.json", pack("1000"))
    with pytest.raises(ConfigError, match=r"new\.json: no such file at HEAD \("):
        book(rules="new.json", policy_ref="HEAD")
    assert book(policy_ref="HEAD").pack.name == "default"
    # What lies outside of the repository is no part of a change.
    (tmp_path / "outside.json").write_text(pack("p90"))
    assert (
        book(rules="../outside.json", policy_ref="HEAD").pack.rules["SQSD101"].options["threshold"] == "p90"
    )


def test_a_pack_of_the_work_tree_cannot_take_an_embedded_name(repo: Repository) -> None:
    repo.write("README.md", "")
    repo.commit()
    repo.write("default", pack("1000"))
    repo.write("strict", pack("1000"))
    for name in ("default", "strict"):
        assert book(rules=name, policy_ref="HEAD").pack.rules["SQSD101"].options["threshold"] != "1000"


def test_what_the_commit_accepts(repo: Repository) -> None:
    repo.write("README.md", "")
    first = repo.commit()
    repo.write(DEFAULT_BASELINE, json.dumps(BASELINE))
    repo.write(DEFAULT_SUPPRESSIONS, SUPPRESSIONS)
    second = repo.commit()
    found = book(policy_ref=first)
    assert (found.accepted.baseline, found.accepted.suppressions) == (None, None)
    os.unlink(DEFAULT_SUPPRESSIONS)
    repo.write(DEFAULT_BASELINE, "{")
    accepted = book(policy_ref=second).accepted
    assert accepted.baseline is not None
    assert accepted.suppressions is not None
    assert set(accepted.suppressions.entries) == {DIGEST}
    assert accepted.suppressions.folder == os.path.realpath(repo.root)
    assert book(policy_ref=second, baseline="", suppressions="").accepted.baseline is None
    for name in ("baseline", "suppressions"):
        with pytest.raises(ConfigError, match=r"x: no such file at "):
            book(policy_ref=second, **{name: "x"})


def test_suppressions_within_rows_are_those_of_the_commit(repo: Repository) -> None:
    repo.rows("a.jsonl", 1)
    first = repo.commit()
    repo.rows("a.jsonl", 1, 2)
    second = repo.commit()
    found = book(policy_ref=first)
    assert not found.accepted.inline
    assert "do not count" in found.notes[0]
    assert book(policy_ref=first, inline_suppressions=False).notes == ()
    assert not book(policy_ref=first, changed_since=f"{first}...{second}").accepted.inline
    # A commit that judges itself may say so of its rows.
    found = book(policy_ref=second, changed_since=f"{first}...{second}")
    assert (found.accepted.inline, found.notes) == (True, ())
    assert not book(policy_ref=second, changed_since=second).accepted.inline


@pytest.mark.parametrize(
    ("setting", "word"), [("bundle", "bundle"), ("model", "model"), ("cache_dir", "cache")]
)
def test_weights_and_scores_that_come_with_a_change_are_refused(
    setting: str, word: str, repo: Repository
) -> None:
    repo.write("mine/file", "1")
    base = repo.commit()
    os.utime("mine/file", (1, 1))
    book(policy_ref=base, **{setting: "mine"})
    repo.write("mine/file", "2")
    repo.commit()
    with pytest.raises(UsageError, match=f"the {word} mine differs"):
        book(policy_ref=base, **{setting: "mine"})
    book(**{setting: "mine"})


def test_ignore_files_of_the_commit(repo: Repository) -> None:
    repo.write(".sqsdlintignore", "raw/\n")
    repo.write(".gitignore", "built/\n")
    repo.rows("data/a.jsonl", 1)
    repo.commit()
    repo.write(".sqsdlintignore", "*.jsonl\n")
    repo.write(".gitignore", "*.jsonl\n")
    repo.write("data/.gitignore", "*\n")
    for name in ("raw/x.jsonl", "built/x.jsonl"):
        repo.rows(name, 2)
    assert find_files(["."], ignore_files=book().ignore_files).files == []
    with open_policy_source(Settings(policy_ref="HEAD")) as found:
        assert find_files(["."], ignore_files=found.ignore_files).files == [os.path.join("data", "a.jsonl")]


def test_a_policy_of_no_commit(repo: Repository) -> None:
    with pytest.raises(SqsdLintError, match="--policy-ref: there is no commit 'main'"):
        book(policy_ref="main")


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_a_cache_that_a_change_moves_is_refused_before_it_is_used(repo: Repository, tmp_path: Path) -> None:
    repo.rows("a.jsonl", 1)
    repo.commit()
    outside = tmp_path / "outside"
    outside.mkdir()
    os.symlink(outside, ".cache")
    repo.commit()
    settings = Settings(
        paths=("a.jsonl",), cache_dir=".cache/sqsd-lint", policy_ref="HEAD~1", dtype="float32"
    )
    with pytest.raises(UsageError, match=r"the cache .* differs"):
        run_check.check(settings)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("name", ["tiny", "org/tiny"])
def test_a_base_model_that_comes_with_a_change_is_refused(
    name: str,
    repo: Repository,
    tiny_bundle: Path,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No setting names the model: the manifest of a bundle outside of the repository does."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(repo.root / ".hub"))
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    manifest = json.loads((bundle / "bundle.json").read_text())
    manifest["base_model"]["id"] = name
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    repo.rows("a.jsonl", 1)
    if name == "tiny":
        shutil.copytree(tiny_model_folder, "tiny")
    base = repo.commit()
    settings = Settings(
        paths=("a.jsonl",),
        bundle=str(bundle),
        threshold="1000",
        dtype="float32",
        device="cpu",
        cache_dir=str(tmp_path / "cache"),
        policy_ref=base,
    )
    if name == "tiny":  # as the commit has it, it is used
        assert run_check.check(settings).coverage.scored == 1
        config = json.loads(Path("tiny/config.json").read_text())
        repo.write("tiny/config.json", json.dumps({**config, "rms_norm_eps": 0.5}))
    else:
        shutil.copytree(tiny_model_folder, "org/tiny")
        repo.commit()
        with pytest.raises(ModelNotFoundError, match="org/tiny"):
            run_check.check(settings)
        shutil.copytree(tiny_model_folder, ".hub/models--org--tiny/snapshots/1")
    repo.commit()
    monkeypatch.setattr(ModelScorer, "score", None)  # refused before any row is scored
    with pytest.raises(UsageError, match=r"the base model .* differs"):
        run_check.check(settings)


def test_the_cache_of_the_environment_is_held_too(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQSD_LINT_CACHE_DIR", "mine")
    repo.rows("a.jsonl", 1)
    base = repo.commit()
    repo.write("mine/scores.sqlite", "planted")
    repo.commit()
    with pytest.raises(UsageError, match="the cache mine differs"):
        book(policy_ref=base)
