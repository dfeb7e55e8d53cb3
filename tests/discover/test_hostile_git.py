"""State of a repository that makes git show something else than what was committed, or than what is there."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sqsd_lint.discover import select
from sqsd_lint.discover.git.objects import NotInRepositoryError
from sqsd_lint.discover.git.policy_ref import PolicyRef
from sqsd_lint.discover.git.repository import SAFE, environment
from sqsd_lint.errors import ConfigError, UsageError
from tests.repository import Repository, lines


def judged(ref: str, *paths: str) -> dict[str, str | None]:
    """File -> its old version, None where there is none, of a comparison with a ref."""
    selection = select(paths or ["."], changed_since=ref)
    assert selection.problems == []
    try:
        found: dict[str, str | None] = {}
        for file in selection.files:
            found[file.name] = None
            if file.old and selection.versions:
                with selection.versions.open(file.old, "x.jsonl", 1 << 30) as path:
                    found[file.name] = Path(path).read_text()
        return found
    finally:
        selection.close()


class TestReplacedObjects:
    """An honest commit, and another one that refs/replace/* or a graft puts in its place."""

    @pytest.fixture(params=["commit", "tree", "blob", "graft"])
    def replaced(self, request: pytest.FixtureRequest, repo: Repository) -> str:
        """The id of the honest commit, which git itself shows with other content or other parents."""
        repo.rows("data/a.jsonl", 1)
        repo.write("sqsd-lint.toml", "threshold = 1\n")
        first = repo.commit("first")
        repo.rows("data/a.jsonl", 1, 2)
        honest = repo.commit("honest")
        repo.git("checkout", "-q", "-b", "other", first)
        repo.write("sqsd-lint.toml", "threshold = 1000\n")
        repo.rows("data/a.jsonl", 1, 2, 3)
        other = repo.commit("other")
        repo.git("checkout", "-q", "main")
        if request.param == "graft":
            repo.write(".git/info/grafts", f"{honest}\n")
        else:
            places = {"commit": "", "tree": "^{tree}", "blob": ":sqsd-lint.toml"}
            end = places[request.param]
            old, new = (repo.git("rev-parse", f"{each}{end}") for each in (honest, other))
            repo.git("update-ref", f"refs/replace/{old}", new)
        return honest

    def test_the_policy_is_the_honest_commits(self, replaced: str) -> None:
        policy = PolicyRef(replaced)
        try:
            assert policy.read("sqsd-lint.toml") == b"threshold = 1\n"
        finally:
            policy.close()

    def test_the_change_is_the_honest_one(self, replaced: str) -> None:
        assert judged(f"{replaced}~1...{replaced}") == {"data/a.jsonl": lines(1)}
        Path("data/a.jsonl").write_text(lines(1, 2, 4))
        assert judged(replaced) == {"data/a.jsonl": lines(1, 2)}

    def test_the_environment_cannot_bring_them_back(
        self, replaced: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("GIT_NO_REPLACE_OBJECTS", raising=False)
        monkeypatch.setenv("GIT_REPLACE_REF_BASE", "refs/replace/")
        monkeypatch.setenv("GIT_GRAFT_FILE", os.path.join(os.getcwd(), ".git/info/grafts"))
        assert judged(f"{replaced}~1...{replaced}") == {"data/a.jsonl": lines(1)}


Mark = Callable[[Repository], object]
MARKS: dict[str, Mark] = {
    "assume-unchanged": lambda repo: repo.git("update-index", "--assume-unchanged", "data/a.jsonl"),
    "skip-worktree": lambda repo: repo.git("update-index", "--skip-worktree", "data/a.jsonl"),
    "both": lambda repo: (
        repo.git("update-index", "--assume-unchanged", "data/a.jsonl"),
        repo.git("update-index", "--skip-worktree", "data/a.jsonl"),
    ),
    "ignoreStat": lambda repo: (
        repo.git("config", "core.ignoreStat", "true"),
        repo.git("rm", "-q", "--cached", "data/a.jsonl"),
        repo.git("add", "data/a.jsonl"),
    ),
}


@pytest.mark.parametrize("mark", MARKS.values(), ids=MARKS)
class TestFilesTakenOnTrust:
    def test_a_local_change_is_judged(self, mark: Mark, repo: Repository) -> None:
        repo.rows("data/a.jsonl", 1)
        repo.rows("data/b.jsonl", 1)
        repo.commit()
        mark(repo)
        repo.rows("data/a.jsonl", 1, 2)
        assert judged("HEAD") == {"data/a.jsonl": lines(1)}
        os.chdir("data")
        assert judged("HEAD") == {"a.jsonl": lines(1)}

    def test_a_bundle_is_held_to_the_policy(self, mark: Mark, repo: Repository) -> None:
        repo.rows("data/a.jsonl", 1)
        repo.commit()
        mark(repo)
        repo.rows("data/a.jsonl", 1, 2)
        policy = PolicyRef("HEAD")
        try:
            with pytest.raises(UsageError, match="differs from what it is at"):
                policy.refuse_change("data", "the bundle")
        finally:
            policy.close()


def test_what_a_sparse_checkout_leaves_out_is_no_local_change(repo: Repository) -> None:
    repo.rows("a/x.jsonl", 1)
    repo.rows("b/x.jsonl", 1)
    repo.commit()
    repo.git("sparse-checkout", "set", "a")
    assert judged("HEAD") == {}
    repo.rows("b/x.jsonl", 1, 2)
    assert judged("HEAD") == {"b/x.jsonl": lines(1)}


@pytest.mark.parametrize("where", [".gitattributes", ".git/info/attributes", "data/.gitattributes"])
@pytest.mark.parametrize("attribute", ["ident", "filter=quiet", "filter=other -text"])
def test_attributes_hide_no_local_change(where: str, attribute: str, repo: Repository) -> None:
    def text(id: str) -> str:
        return lines({"question": "What is it?", "answer": f"{id} is it."})

    repo.write("data/a.jsonl", text("$Id$"))
    repo.commit()
    for name in ("quiet", "other"):
        repo.git(
            "config",
            f"filter.{name}.clean",
            f"git cat-file blob {repo.git('rev-parse', 'HEAD:data/a.jsonl')}",
        )
    repo.write(where, f"*.jsonl {attribute}\n")
    repo.write("data/a.jsonl", text("$Id: something else $"))
    assert repo.git("diff", "--name-only", "HEAD", "--", "data/a.jsonl") == ""  # git sees none
    assert judged("HEAD", "data") == {"data/a.jsonl": text("$Id$")}
    os.chdir("data")
    assert judged("HEAD") == {"a.jsonl": text("$Id$")}


def test_git_lfs_is_no_hidden_change(repo: Repository) -> None:
    repo.write(".gitattributes", "*.jsonl filter=lfs diff=lfs merge=lfs -text\n")
    repo.rows("a.jsonl", 1)
    repo.git("config", "filter.lfs.clean", "cat")
    repo.commit()
    assert judged("HEAD") == {}


@pytest.mark.parametrize(
    "name", ["GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"]
)
def test_pathspecs_mean_what_they_say(name: str, repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.write("bundle/bundle.json", "{}")
    repo.commit()
    repo.rows("a.jsonl", 1)
    repo.write("bundle/bundle.json", "{ }")
    monkeypatch.setenv(name, "1")
    assert judged("HEAD") == {"a.jsonl": None}
    policy = PolicyRef("HEAD")
    try:
        with pytest.raises(UsageError, match="differs"):
            policy.refuse_change("bundle", "the bundle")
    finally:
        policy.close()


def test_a_trace_is_no_answer(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.rows("a.jsonl", 1)
    repo.commit()
    repo.rows("a.jsonl", 1, 2)
    for name in ("GIT_TRACE", "GIT_TRACE_SETUP", "GIT_TRACE2_EVENT"):
        monkeypatch.setenv(name, str(repo.root.parent / "trace"))
    assert judged("HEAD") == {"a.jsonl": lines(1)}
    assert not (repo.root.parent / "trace").exists()


def test_objects_of_an_alternate_are_found_and_are_what_they_are(repo: Repository, tmp_path: Path) -> None:
    repo.rows("a.jsonl", 1)
    base = repo.commit()
    repo.git("clone", "-q", "--shared", ".", str(tmp_path / "borrower"))
    os.chdir(tmp_path / "borrower")
    Path("a.jsonl").write_text(lines(1, 2))
    assert judged(base) == {"a.jsonl": lines(1)}


def test_a_shallow_file_shortens_no_comparison_in_silence(repo: Repository) -> None:
    repo.rows("a.jsonl", 1)
    base = repo.commit()
    repo.rows("a.jsonl", 1, 2)
    repo.write(".git/shallow", repo.commit() + "\n")
    # History ends at the commit: there is no common one any more, or the old version stays the base's.
    with pytest.raises(UsageError, match="shallow"):
        judged(base)


def test_names_that_differ_in_case_are_two_files(repo: Repository) -> None:
    if (repo.root / ".GIT").exists():
        pytest.skip("this file system knows one of them")
    repo.rows("data/a.jsonl", 1)
    repo.commit()
    repo.git("config", "core.ignoreCase", "true")
    repo.rows("data/A.jsonl", 2)
    assert judged("HEAD") == {"data/A.jsonl": None}


def test_no_list_that_was_kept_for_speed_is_believed(repo: Repository) -> None:
    repo.git("config", "core.untrackedCache", "true")
    repo.git("config", "core.checkStat", "minimal")
    repo.git("config", "core.trustctime", "false")
    os.utime(repo.rows("a.jsonl", 1), (1, 1))  # or git would not trust the index, which is as old
    repo.commit()
    repo.git("update-index", "--force-untracked-cache")
    repo.git("status")
    before = os.stat("a.jsonl")
    time.sleep(1.1)  # git compares times of change by the second
    Path("a.jsonl").write_text(lines(7))  # of the same size
    os.utime("a.jsonl", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert repo.git("diff", "--name-only", "HEAD") == ""  # git sees none
    assert judged("HEAD") == {"a.jsonl": lines(1)}


def test_nothing_is_remarked_upon(repo: Repository) -> None:
    repo.rows("a.jsonl", 1)
    repo.write(".git/info/grafts", f"{repo.commit()}\n")
    done = subprocess.run(
        [*SAFE, "log", "--oneline"], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_one_place_starts_git() -> None:
    """So that what holds for one question holds for all; `doctor` asks for the version."""
    room = Path(__file__).parents[2] / "sqsd_lint"
    named = [path for path in room.rglob("*.py") if re.search(r'["(]git"', path.read_text())]
    places = {path.relative_to(room).as_posix() for path in named}
    assert places == {"discover/git/repository.py", "run/doctor.py"}


class TestForgedObjects:
    """Files in `.git/objects` whose content is not what their name is the digest of."""

    @staticmethod
    def forge(repo: Repository, name: str, other: str) -> None:
        """Put one object's file in the place of another's."""
        old, new = (repo.git("rev-parse", each) for each in (name, other))
        place, source = (repo.root / ".git/objects" / each[:2] / each[2:] for each in (old, new))
        place.unlink()
        place.write_bytes(source.read_bytes())

    @pytest.fixture(params=["sha1", "sha256"])
    def two_commits(
        self, request: pytest.FixtureRequest, repo: Repository, monkeypatch: pytest.MonkeyPatch
    ) -> Repository:
        if request.param == "sha256":
            folder = repo.root.parent / "sha256"
            folder.mkdir()
            subprocess.run(["git", "init", "-q", "--object-format=sha256", str(folder)], check=True)
            monkeypatch.chdir(folder)
            repo = Repository(folder)
        repo.rows("data/a.jsonl", 1)
        repo.write("conf/sqsd-lint.toml", "threshold = 1\n")
        repo.commit("honest")
        repo.git("tag", "honest")
        repo.rows("data/a.jsonl", 1, 2)
        repo.write("conf/sqsd-lint.toml", "threshold = 1000\n")
        repo.commit("other")
        return repo

    @pytest.mark.parametrize("end", ["^{tree}", ":conf", ":conf/sqsd-lint.toml"])
    def test_no_policy_is_read_by_way_of_one(self, two_commits: Repository, end: str) -> None:
        with closing(PolicyRef("honest")) as policy:
            assert policy.read("conf/sqsd-lint.toml") == b"threshold = 1\n"
            assert policy.read("conf/none.toml") is None
        self.forge(two_commits, f"honest{end}", f"HEAD{end}")
        # Git itself shows the other one.
        assert two_commits.git("cat-file", "-p", "honest:conf/sqsd-lint.toml") == "threshold = 1000"
        with (
            closing(PolicyRef("honest")) as policy,
            pytest.raises(ConfigError, match="its content is not what its name is the digest of"),
        ):
            policy.read("conf/sqsd-lint.toml")

    def test_a_forged_commit_is_none(self, two_commits: Repository) -> None:
        self.forge(two_commits, "honest", "HEAD")
        with pytest.raises(UsageError, match="no commit"):
            PolicyRef("honest")

    def test_no_old_version_is_read_from_one(self, two_commits: Repository) -> None:
        self.forge(two_commits, "honest:data/a.jsonl", "HEAD:data/a.jsonl")
        with pytest.raises(NotInRepositoryError, match="digest"):
            judged("honest")

    def test_one_from_an_alternate_is_none_the_better(
        self, two_commits: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        honest = two_commits.git("rev-parse", "honest:conf/sqsd-lint.toml")
        self.forge(two_commits, "honest:conf/sqsd-lint.toml", "HEAD:conf/sqsd-lint.toml")
        alternate = tmp_path / "alternate"
        place = alternate / honest[:2] / honest[2:]
        place.parent.mkdir(parents=True)
        own = two_commits.root / ".git/objects" / honest[:2] / honest[2:]
        own.rename(place)
        monkeypatch.setenv("GIT_ALTERNATE_OBJECT_DIRECTORIES", str(alternate))
        with closing(PolicyRef("honest")) as policy, pytest.raises(ConfigError, match="digest"):
            policy.read("conf/sqsd-lint.toml")

    def test_a_large_file_is_hashed_as_it_is_copied(self, repo: Repository) -> None:
        repo.write("a.jsonl", lines(*range(40_000)))
        repo.commit()
        repo.rows("a.jsonl", 1)
        assert len(judged("HEAD")["a.jsonl"] or "") > 1 << 20


def test_a_dirty_submodule_is_named_and_never_taken_for_unchanged(repo: Repository, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    repo.git("init", "-q", str(inner))
    (inner / "b.jsonl").write_text(lines(1))
    repo.git("-C", str(inner), "add", ".")
    repo.git("-C", str(inner), "commit", "-qm", "inner")
    repo.rows("a.jsonl", 1)
    repo.git("submodule", "add", "-q", str(inner), "inner")
    repo.commit()
    assert judged("HEAD") == {}
    selection = select(["."], changed_since="HEAD")
    assert not any("submodule" in note for note in selection.all_notes)
    selection.close()
    for ignore in ("none", "all", "dirty"):
        repo.git("config", "submodule.inner.ignore", ignore)
        repo.git("config", "diff.ignoreSubmodules", ignore)
        (repo.root / "inner/b.jsonl").write_text(lines(1, 2))
        selection = select(["."], changed_since="HEAD")
        assert [file.name for file in selection.files] == []
        assert any("inner" in note for note in selection.all_notes), ignore
        selection.close()
    policy = PolicyRef("HEAD")
    try:
        with pytest.raises(UsageError, match="differs from what it is at"):
            policy.refuse_change("inner/b.jsonl", "the bundle")
    finally:
        policy.close()
    os.chdir("inner")
    assert judged("HEAD") == {"b.jsonl": lines(1)}


def test_a_filter_that_fails_is_no_pass(repo: Repository) -> None:
    repo.rows("a.jsonl", 1)
    repo.write(".gitattributes", "* filter=x\n")
    repo.commit()
    repo.git("config", "filter.x.process", "false")
    repo.git("config", "filter.x.required", "true")
    repo.rows("a.jsonl", 1, 2)
    with pytest.raises(UsageError, match="failed"):
        judged("HEAD")


LOCAL: dict[str, Callable[[Repository], object]] = {
    "clean": lambda repo: repo.git("config", "filter.x.clean", "git cat-file blob HEAD:a.jsonl"),
    "smudge": lambda repo: repo.git("config", "filter.x.smudge", "cat"),
    "textconv": lambda repo: repo.git("config", "diff.x.textconv", "touch started; echo"),
    "external diff": lambda repo: repo.git("config", "diff.external", "touch started"),
    "diff driver": lambda repo: repo.git("config", "diff.x.command", "touch started"),
    "fsmonitor": lambda repo: repo.git("config", "core.fsmonitor", "touch started"),
    "hooks": lambda repo: repo.git("config", "core.hooksPath", "hooks"),
    "attributes file": lambda repo: repo.git("config", "core.attributesFile", ".git/more"),
    "excludes file": lambda repo: repo.git("config", "core.excludesFile", ".git/ignored"),
    "pager": lambda repo: repo.git("config", "core.pager", "touch started"),
    "renames": lambda repo: repo.git("config", "diff.renames", "copies"),
    "relative": lambda repo: repo.git("config", "diff.relative", "true"),
    "prefix": lambda repo: repo.git("config", "diff.noprefix", "true"),
    "order": lambda repo: repo.git("config", "diff.orderFile", ".git/order"),
    "symlinks": lambda repo: repo.git("config", "core.symlinks", "false"),
    "line ends": lambda repo: repo.git("config", "core.autocrlf", "input"),
    "sparse": lambda repo: repo.git("config", "core.sparseCheckout", "true"),
    "no index": lambda repo: repo.git("config", "index.skipHash", "true"),
    "split index": lambda repo: repo.git("update-index", "--split-index"),
    "preload": lambda repo: repo.git("config", "core.preloadIndex", "true"),
    "big files": lambda repo: repo.git("config", "core.bigFileThreshold", "1"),
    "info exclude": lambda repo: repo.write(".git/info/exclude", "*.jsonl\n"),
    "info sparse": lambda repo: repo.write(".git/info/sparse-checkout", "/nothing\n"),
    "intent to add": lambda repo: repo.git("add", "--intent-to-add", "new.jsonl"),
}


@pytest.mark.parametrize("change", LOCAL.values(), ids=LOCAL)
@pytest.mark.parametrize("attributes", ["* filter=x diff=x", "*.jsonl binary -diff", ""])
def test_local_configuration_hides_no_change_and_starts_nothing(
    change: Callable[[Repository], object], attributes: str, repo: Repository
) -> None:
    repo.rows("a.jsonl", 1)
    repo.write("bundle/bundle.json", "{}")
    repo.write(".gitignore", "started\nhooks\n")
    repo.commit()
    for hook in ("post-index-change", "fsmonitor-watchman"):
        repo.write(f"hooks/{hook}", "#!/bin/sh\ntouch started\n")
        os.chmod(f"hooks/{hook}", 0o755)
    repo.write(".git/more", f"{attributes}\n")
    repo.write(".git/info/attributes", f"{attributes}\n")
    repo.write(".git/ignored", "*.jsonl\n")
    repo.write(".git/order", "bundle\n")
    repo.rows("new.jsonl", 3)
    change(repo)
    (repo.root / "started").unlink(missing_ok=True)
    repo.rows("a.jsonl", 1, 2)
    repo.write("bundle/bundle.json", "{ }")
    assert judged("HEAD") == {"a.jsonl": lines(1), "new.jsonl": None}
    policy = PolicyRef("HEAD")
    try:
        with pytest.raises(UsageError, match="differs from what it is at"):
            policy.refuse_change("bundle", "the bundle")
    finally:
        policy.close()
    assert not (repo.root / "started").exists()


@pytest.mark.parametrize("elsewhere", ["clean copy", "parent"])
def test_a_work_tree_that_lies_elsewhere_is_no_clean_one(
    elsewhere: str, repo: Repository, tmp_path: Path
) -> None:
    repo.rows("a.jsonl", 1)
    repo.commit()
    repo.git("clone", "-q", ".", str(tmp_path / "copy"))
    repo.rows("a.jsonl", 1, 2)
    tree = {"clean copy": tmp_path / "copy", "parent": repo.root.parent}[elsewhere]
    repo.git("config", "core.worktree", str(tree))
    if elsewhere == "parent":
        # Every file is another one there, and so is new.
        assert judged("HEAD") == {"a.jsonl": None}
    else:
        with pytest.raises(UsageError, match="work tree"):
            judged("HEAD")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GIT_EXTERNAL_DIFF", "touch started"),
        ("GIT_DIFF_OPTS", "--unified=0"),
        ("GIT_PAGER", "touch started"),
        ("GIT_CONFIG_PARAMETERS", "'core.usereplacerefs=true' 'core.fsmonitor=touch started'"),
        ("GIT_OPTIONAL_LOCKS", "1"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_ICASE_PATHSPECS", "1"),
        ("GIT_DEFAULT_HASH", "sha256"),
        ("GIT_NAMESPACE", "other"),
        ("GIT_QUARANTINE_PATH", "/nowhere"),
        ("GIT_REDIRECT_STDOUT", "off"),
    ],
)
def test_the_environment_hides_no_change(
    name: str, value: str, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.rows("a.jsonl", 1)
    repo.commit()
    repo.rows("a.jsonl", 1, 2)
    monkeypatch.setenv(name, value)
    assert judged("HEAD") == {"a.jsonl": lines(1)}
    assert not (repo.root / "started").exists()
