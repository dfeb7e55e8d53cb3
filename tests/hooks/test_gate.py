"""The native hooks with the real command and a tiny model: real commits, real pushes to a bare repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hooks.conftest import MakeRepository, Repository, TinyLint, text, without_torch

pytestmark = pytest.mark.slow


@pytest.fixture
def work(make_repository: MakeRepository, tiny_lint: TinyLint) -> Repository:
    """A repository with a configuration and benign rows, two commits old."""
    made = tiny_lint.repository(make_repository("work"))
    made.commit({"sqsd-lint.toml": tiny_lint.config})
    made.commit({"data/train.jsonl": text(*tiny_lint.benign)})
    return made


@pytest.fixture
def server(make_repository: MakeRepository, tiny_lint: TinyLint, work: Repository) -> Repository:
    """A bare repository that has `work`'s commits and, from then on, the hook."""
    bare = tiny_lint.repository(make_repository("server.git", bare=True))
    work.git("remote", "add", "origin", bare.path)
    work.git("push", "--quiet", "origin", "main")
    bare.run("sqsd-lint", "hook", "install")
    return bare


def test_pre_commit_judges_what_is_staged(work: Repository, tiny_lint: TinyLint) -> None:
    work.run("sqsd-lint", "hook", "install")
    path = work.write("data/train.jsonl", text(*tiny_lint.benign, tiny_lint.risky))
    done = work.run("git", "commit", "--all", "--message", "risky", expect=1)
    assert f"data/train.jsonl:{len(tiny_lint.benign) + 1}" in done.stdout + done.stderr
    assert work.git("rev-list", "--count", "HEAD") == "2"

    # The index counts, not the file beside it; and odd names do no harm.
    work.git("add", "data/train.jsonl")
    path.write_text(text(*tiny_lint.benign))
    work.git("commit", "--message", "risky", expect=1)
    work.git("add", "data/train.jsonl")
    odd = 'data/$(touch owned) "; -- é\t.jsonl'
    work.write(odd, text(tiny_lint.benign[0]))
    work.git("add", odd)
    work.git("commit", "--message", "benign")
    assert not (work.path / "owned").exists()
    # Rows in another order, a row that has a score already, and a commit without data need no model.
    work.write("data/train.jsonl", text(*reversed(tiny_lint.benign)))
    work.write("data/again.jsonl", text(tiny_lint.benign[0]))
    work.git("add", "data")
    work.git("commit", "--message", "nothing new", **without_torch(work))
    work.git("commit", "--allow-empty", "--message", "no data at all", **without_torch(work))


def test_pre_commit_judges_what_git_commits_from_another_index(work: Repository, tiny_lint: TinyLint) -> None:
    work.run("sqsd-lint", "hook", "install")
    work.write("data/risky.jsonl", text(tiny_lint.risky))
    work.write("data/other.jsonl", text(tiny_lint.benign[0]))
    work.git("add", ".")
    work.git("commit", "--message", "one file", "data/other.jsonl")
    work.git("commit", "--message", "the other", "data/risky.jsonl", expect=1)


def test_pre_push_judges_what_is_pushed(work: Repository, server: Repository, tiny_lint: TinyLint) -> None:
    (server.path / "hooks/pre-receive").unlink()
    work.run("sqsd-lint", "hook", "install", "--hook", "pre-push")
    work.git("checkout", "--quiet", "-b", "topic")
    work.commit({"data/more.jsonl": text(tiny_lint.risky)})
    work.git("checkout", "--quiet", "main")
    done = work.run("git", "push", "origin", "topic", expect=1)
    assert "data/more.jsonl:1" in done.stdout + done.stderr
    work.commit({"data/more.jsonl": text(tiny_lint.benign[0])})
    work.git("push", "origin", "main")
    assert server.git("for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_pre_receive_refuses_risky_rows(work: Repository, server: Repository, tiny_lint: TinyLint) -> None:
    tip = server.git("rev-parse", "main")
    work.commit({"data/train.jsonl": text(*tiny_lint.benign, tiny_lint.risky)})
    done = work.run("git", "push", "origin", "main", expect=1)
    assert f"data/train.jsonl:{len(tiny_lint.benign) + 1}" in done.stderr
    assert "SQSD101" in done.stderr
    assert "pre-receive hook declined" in done.stderr
    assert server.git("rev-parse", "main") == tip
    # Rows that the server has are not judged again, however they are arranged; branches may go.
    work.git("reset", "--quiet", "--hard", "HEAD~")
    rows = list(reversed(tiny_lint.benign))
    work.commit({"data/train.jsonl": text(*rows), "data/renamed.jsonl": text(*rows)})
    work.git("push", "origin", "main", "main:copy")
    work.git("push", "origin", ":copy", **without_torch(work))


def test_a_push_cannot_loosen_its_own_judge(
    work: Repository, server: Repository, tiny_lint: TinyLint
) -> None:
    inline = {**tiny_lint.risky, "sqsd_lint": {"ignore": ["SQSD101"], "reason": "trust me"}}
    loosened = {
        "sqsd-lint.toml": "threshold = 1000\nwarning-threshold = 1000\n",
        ".sqsdlintignore": "data/\n",
        ".gitattributes": "*.jsonl filter=evil -text\n",
        "data/more.jsonl": json.dumps(inline) + "\n",
    }
    work.git("checkout", "--quiet", "-b", "topic")
    work.commit(loosened)
    done = work.run("git", "push", "origin", "topic", expect=1)
    assert "data/more.jsonl:1" in done.stderr
    # Nor in two steps, by way of a branch that changes the configuration alone.
    work.git("reset", "--quiet", "--hard", "main")
    work.commit({name: loosened[name] for name in ("sqsd-lint.toml", ".sqsdlintignore")})
    work.git("push", "origin", "topic")
    work.commit({"data/more.jsonl": text(tiny_lint.risky)})
    done = work.run("git", "push", "origin", "topic", expect=1)
    assert "data/more.jsonl:1" in done.stderr


def test_a_link_in_a_push_opens_no_file_of_the_server(
    work: Repository, server: Repository, tiny_lint: TinyLint, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.jsonl"
    secret.write_text(text({"question": "Where is the key?", "answer": "KEY-UNDER-THE-MAT"}))
    (work.path / "data/link.jsonl").symlink_to(secret)
    (work.path / "data/inner.jsonl").symlink_to("train.jsonl")
    work.commit({})
    done = work.run("git", "push", "origin", "main", expect=None)
    assert "KEY-UNDER" not in done.stdout + done.stderr


def test_the_first_push_to_a_server_is_judged(
    make_repository: MakeRepository, work: Repository, tiny_lint: TinyLint
) -> None:
    bare = tiny_lint.repository(make_repository("new.git", bare=True))
    bare.run("sqsd-lint", "hook", "install")
    lines = {"SQSD_LINT_THRESHOLD": "-1000", "SQSD_LINT_WARNING_THRESHOLD": "-1000"}
    done = work.run("git", "push", str(bare.path), "main", expect=1, **lines)
    assert "SQSD101" in done.stderr
    assert bare.git("for-each-ref") == ""
