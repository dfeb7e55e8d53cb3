"""The native hooks as scripts: what they ask of the command, in real commits and pushes, and how they end."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.hooks.conftest import ROOT, MakeRepository, Recorder, Repository, script, use

HOOKS = sorted((ROOT / "hooks").iterdir())
NOTHING = "0"


@pytest.fixture
def work(make_repository: MakeRepository, recorder: Recorder) -> Repository:
    return use(make_repository("work"), recorder.folder)


@pytest.fixture
def server(make_repository: MakeRepository, recorder: Recorder, work: Repository) -> Repository:
    """A bare repository that `work` pushes to; a push runs with the same PATH as git itself."""
    bare = use(make_repository("server.git", bare=True), recorder.folder)
    work.git("remote", "add", "origin", bare.path)
    return bare


def option(call: list[str], name: str) -> str | None:
    return next((word.partition("=")[2] for word in call if word.startswith(f"{name}=")), None)


@pytest.mark.parametrize("hook", HOOKS, ids=lambda path: path.name)
def test_it_is_plain_posix_shell(hook: Path) -> None:
    assert hook.stat().st_mode & 0o111 == 0o111
    assert hook.read_text().startswith("#!/bin/sh\n# sqsd-lint hook: ")
    for tool, *args in (["dash", "-n"], ["shellcheck", "--shell=sh"]):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
        done = subprocess.run([tool, *args, hook], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_commit_is_judged_by_what_is_staged(work: Repository, recorder: Recorder) -> None:
    work.put_hook("pre-commit")
    work.write("a.jsonl", "{}\n")
    work.git("add", "a.jsonl")
    work.git("commit", "-m", "one")
    assert recorder.calls() == [["check", "--staged", "--no-progress"]]
    recorder.answer(1)
    work.git("commit", "--allow-empty", "-m", "two", expect=1)
    assert work.git("rev-list", "--count", "HEAD") == "1"


@pytest.mark.parametrize("hook", HOOKS, ids=lambda path: path.name)
def test_without_the_command_nothing_passes(hook: Path, work: Repository) -> None:
    path = work.put_hook(hook.name)
    work.git("config", "sqsd-lint.command", "/no/such/sqsd-lint")
    done = subprocess.run(
        [path, "origin", "url"],
        input="a b c d\n",
        cwd=work.path,
        env=work.env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3
    assert "no command /no/such/sqsd-lint" in done.stderr
    assert "git config sqsd-lint.command" in done.stderr


def test_the_command_that_git_config_names_goes_first(
    work: Repository, recorder: Recorder, tmp_path: Path
) -> None:
    work.put_hook("pre-commit")
    other = script(tmp_path / "an other" / "lint", "#!/bin/sh\nexit 7\n")
    work.git("config", "sqsd-lint.command", other)
    assert work.run(work.path / ".git/hooks/pre-commit", expect=7).stderr == ""
    assert recorder.calls() == []


@pytest.mark.parametrize("hook", ["pre-push", "pre-receive"])
def test_the_hook_that_was_there_gets_the_same_input(
    hook: str, work: Repository, recorder: Recorder, tmp_path: Path
) -> None:
    path = work.put_hook(hook)
    before = script(
        path.with_name(f"{hook}.before-sqsd-lint"),
        f"#!/bin/sh\ncat >{tmp_path}/seen\necho $* >>{tmp_path}/seen\n",
    )
    lines = "refs/heads/x 0000000000 refs/heads/x 0000000000\n"
    command = [path, "origin", "the url"]
    done = subprocess.run(command, input=lines, cwd=work.path, env=work.env, text=True)
    assert done.returncode == 0
    assert (tmp_path / "seen").read_text() == f"{lines}origin the url\n"
    script(before, "#!/bin/sh\nexit 9\n")
    assert subprocess.run(command, input=lines, cwd=work.path, env=work.env, text=True).returncode == 9
    assert recorder.calls() == []  # the only update was a deletion


def test_a_push_is_compared_with_what_the_remote_has(
    work: Repository, server: Repository, recorder: Recorder
) -> None:
    work.put_hook("pre-push")
    first = work.commit({"a.jsonl": "1\n"})
    work.git("push", "origin", "main")
    second = work.commit({"a.jsonl": "2\n"})
    work.git("push", "origin", "main")
    work.git("checkout", "-q", "-b", "topic")
    third = work.commit({"b c.jsonl": "3\n"})
    # The commit that is pushed is not the one that is checked out.
    work.git("checkout", "-q", "main")
    work.git("push", "origin", "topic")
    calls = recorder.calls()
    assert [option(call, "--changed-since") for call in calls] == [
        f"{NOTHING}...{first}",
        f"{first}...{second}",
        f"{second}...{third}",
    ]
    assert [option(call, "--policy-ref") for call in calls] == [first, second, third]
    # Nothing new: another name for a commit that the remote has, and a branch that goes away.
    work.git("push", "origin", "main:again", ":topic")
    assert len(recorder.calls()) == 3


def test_a_rejected_push_leaves_the_remote_as_it_was(
    work: Repository, server: Repository, recorder: Recorder
) -> None:
    work.put_hook("pre-push")
    work.commit({"a.jsonl": "1\n"})
    work.git("branch", "other")
    recorder.answer(3, 1)
    work.git("push", "origin", "main", "other", expect=1)
    assert len(recorder.calls()) == 2  # the second branch is judged, too
    assert server.git("for-each-ref") == ""


def test_history_without_a_common_commit_is_compared_with_nothing(
    work: Repository, server: Repository, recorder: Recorder
) -> None:
    work.commit({"a.jsonl": "1\n"})
    work.git("push", "origin", "main")
    server.put_hook("pre-receive")
    work.put_hook("pre-push")
    work.git("checkout", "-q", "--orphan", "fresh")
    orphan = work.commit({"a.jsonl": "2\n"})
    work.git("push", "--force", "origin", "fresh:main")
    assert [option(call, "--changed-since") for call in recorder.calls()] == [f"{NOTHING}...{orphan}"] * 2


def test_a_server_takes_its_policy_from_its_own_default_branch(
    work: Repository, server: Repository, recorder: Recorder
) -> None:
    server.put_hook("pre-receive")
    first = work.commit({"a.jsonl": "1\n"})
    work.git("push", "origin", "main")
    work.git("checkout", "-q", "-b", "topic")
    second = work.commit({"sqsd-lint.toml": "threshold = 1000\n"})
    work.git("push", "origin", "topic")
    third = work.commit({"a.jsonl": "2\n"})
    work.git("tag", "-a", "v1", "-m", "a tag that points to a commit")
    work.git("push", "origin", "topic", "v1")
    calls = recorder.calls()
    asked = [(option(call, "--changed-since"), option(call, "--policy-ref")) for call in calls]
    assert asked == [
        (f"{NOTHING}...{first}", None),
        (f"{first}...{second}", first),
        (f"{second}...{third}", first),
        (f"{second}...{third}", first),
    ]
    assert "--isolated" in calls[0]
    assert all("--no-inline-suppressions" in call for call in calls)
    work.git("push", "origin", ":topic", "main:copy")
    assert len(recorder.calls()) == 4


def test_a_new_branch_is_compared_with_the_newest_commit_that_the_server_has(
    work: Repository, server: Repository, recorder: Recorder
) -> None:
    work.commit({"a.jsonl": "1\n"})
    work.git("branch", "topic")
    newest = work.commit({"a.jsonl": "2\n"})
    work.git("push", "origin", "main")
    server.put_hook("pre-receive")
    work.git("checkout", "-q", "topic")
    work.commit({"b.jsonl": "1\n"})
    work.git("merge", "--quiet", "--no-edit", "main", GIT_COMMITTER_DATE="2040-01-01T00:00:00Z")
    merged = work.git("rev-parse", "HEAD")
    work.git("push", "origin", "topic")
    assert [option(call, "--changed-since") for call in recorder.calls()] == [f"{newest}...{merged}"]


def test_a_server_refuses_what_is_no_commit(work: Repository, server: Repository, recorder: Recorder) -> None:
    server.put_hook("pre-receive")
    commit = work.commit({"a.jsonl": "1\n"})
    work.git("tag", "content", f"{commit}:a.jsonl")
    done = work.run("git", "push", "origin", "content", expect=1)
    assert "refs/tags/content is no commit" in done.stderr
    assert server.git("for-each-ref") == ""


def test_a_server_refuses_with_the_reason_in_the_push(
    work: Repository, server: Repository, recorder: Recorder
) -> None:
    server.put_hook("pre-receive")
    recorder.answer(1, 0)
    work.commit({"a.jsonl": "1\n"})
    work.git("branch", "other")
    done = work.run("git", "push", "origin", "main", "other", expect=1)
    assert "pre-receive hook declined" in done.stderr
    assert len(recorder.calls()) == 2
    assert server.git("for-each-ref") == ""


@pytest.mark.parametrize("hook", ["pre-push", "pre-receive"])
def test_no_push_brings_objects_that_stand_for_others(
    hook: str, work: Repository, server: Repository, recorder: Recorder
) -> None:
    (work if hook == "pre-push" else server).put_hook(hook)
    honest = work.commit({"a.jsonl": "1\n"})
    other = work.commit({"sqsd-lint.toml": "threshold = 1000\n"})
    ref = f"refs/replace/{honest}"
    work.git("update-ref", ref, other)
    for refs in ([ref], ["main", ref]):
        done = work.run("git", "push", "origin", *refs, expect=1)
        assert f"{ref} would show another object" in done.stderr
        assert server.git("for-each-ref") == ""
    work.git("push", "origin", "main")
    # One that is there from before may go.
    server.git("update-ref", ref, other)
    work.git("push", "origin", f":{ref}")
    assert ref not in server.git("for-each-ref")


def test_what_replaces_a_commit_on_a_server_hides_no_new_one(
    work: Repository, server: Repository, recorder: Recorder
) -> None:
    first = work.commit({"a.jsonl": "1\n"})
    work.git("push", "origin", "main")
    work.git("checkout", "-q", "-b", "topic")
    second = work.commit({"a.jsonl": "2\n"})
    work.git("checkout", "-q", "-b", "side", first)
    side = work.commit({"b.jsonl": "1\n"})
    work.git("push", "origin", "side")
    # From before the hook: in place of the base, a commit that comes after the new one.
    work.git("checkout", "-q", "-b", "merged", second)
    work.git("push", "--quiet", "origin", f"{second}:refs/hidden/x")
    server.git("update-ref", f"refs/replace/{side}", second)
    server.git("update-ref", "-d", "refs/hidden/x")
    server.put_hook("pre-receive")
    work.git("push", "origin", "topic")
    assert [option(call, "--changed-since") for call in recorder.calls()] == [f"{first}...{second}"]
