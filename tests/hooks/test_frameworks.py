"""pre-commit and prek themselves, on a real repository that takes the hook from one like this."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from sqsd_lint.discover import SUFFIXES, suffix_of
from tests.hooks.conftest import BIN, ROOT, MakeRepository, Repository, TinyLint, text, without_torch

MANIFEST = ROOT / ".pre-commit-hooks.yaml"
TOOLS = ("pre-commit", "prek")


def hooks() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    return found


def test_the_manifest_is_valid() -> None:
    done = subprocess.run([BIN / "pre-commit", "validate-manifest", MANIFEST], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert [(hook["id"], hook["language"]) for hook in hooks()] == [
        ("sqsd-lint", "python"),
        ("sqsd-lint-scorer", "python"),
        ("sqsd-lint-system", "system"),
    ]
    assert all(hook["require_serial"] for hook in hooks())


@pytest.mark.parametrize("hook", hooks(), ids=lambda hook: hook["id"])
def test_the_files_are_those_that_a_search_finds(hook: dict[str, Any]) -> None:
    names = [f"data/x{suffix}" for suffix in SUFFIXES]
    names += [name.upper() for name in names]
    names += [
        "x.jsonl.bak",
        "jsonl",
        "x.json5",
        "x.parquet.gz",
        "x.py",
        "data.csv/readme.md",
        "x.jsonl.zst.txt",
    ]
    found = [name for name in names if re.search(hook["files"], name)]
    assert found == [name for name in names if suffix_of(name)]


@pytest.fixture
def work(make_repository: MakeRepository, tiny_lint: TinyLint) -> Repository:
    """A repository with data that takes `sqsd-lint-system` from a repository of hooks."""
    source = make_repository("hooks-repository")
    shutil.copy(MANIFEST, source.path)
    revision = source.commit({})
    made = tiny_lint.repository(make_repository("work"))
    made.env.update(
        PRE_COMMIT_HOME=str(source.path.parent / "pc"), PREK_HOME=str(source.path.parent / "prek")
    )
    config = {
        "repos": [{"repo": str(source.path), "rev": revision, "hooks": [{"id": "sqsd-lint-system"}]}],
        "default_install_hook_types": ["pre-commit", "pre-push"],
    }
    made.write(".pre-commit-config.yaml", yaml.safe_dump(config))
    made.write("sqsd-lint.toml", tiny_lint.config)
    made.write("package.json", "{}")
    made.write("data/train.jsonl", text(*tiny_lint.benign))
    made.git("add", ".")
    return made


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
def test_a_risky_row_blocks_the_commit(tool: str, work: Repository, tiny_lint: TinyLint) -> None:
    work.run(BIN / tool, "install")
    work.git("commit", "--message", "benign rows")
    # A second look at the same rows needs no model.
    again = work.run(BIN / tool, "run", "--all-files", "--verbose", **without_torch(work))
    assert f"scored {len(tiny_lint.benign)} of {len(tiny_lint.benign)} rows" in again.stdout

    work.write("data/train.jsonl", text(*tiny_lint.benign, tiny_lint.risky))
    done = work.run("git", "commit", "--all", "--message", "a risky row", expect=1)
    assert "SQSD101" in done.stdout + done.stderr
    assert f"data/train.jsonl:{len(tiny_lint.benign) + 1}" in done.stdout + done.stderr
    assert work.git("rev-list", "--count", "HEAD") == "1"

    # Only new rows count in a commit, every row where no old version is known, and those of a push.
    work.git("commit", "--no-verify", "--all", "--message", "a risky row all the same")
    work.write("data/train.jsonl", text(tiny_lint.risky, *tiny_lint.benign))
    work.git("commit", "--all", "--message", "the same rows in another order", **without_torch(work))
    assert work.run(BIN / tool, "run", "--all-files", expect=1).stdout.count("SQSD101") >= 1
    work.git("init", "--quiet", "--bare", "../server.git")
    done = work.run("git", "push", "../server.git", "main", expect=1)
    assert "SQSD101" in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
def test_files_that_are_no_data_are_passed_by(tool: str, work: Repository) -> None:
    work.git("rm", "--cached", "--quiet", "data/train.jsonl")
    work.run(BIN / tool, "install")
    work.git("commit", "--message", "no data", **without_torch(work))
    assert work.git("rev-list", "--count", "HEAD") == "1"
