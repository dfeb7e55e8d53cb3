"""What a comparison selects, in real repositories of every shape."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.discover import Selection, select
from sqsd_lint.discover.git.objects import NotInRepositoryError
from sqsd_lint.errors import UsageError
from tests.repository import Repository, lines

posix = pytest.mark.skipif(os.name != "posix", reason="symbolic links and signals of POSIX")


def staged(*paths: str, **options: Any) -> Selection:
    return select(paths or ["."], staged=True, **options)


def since(ref: str, *paths: str, **options: Any) -> Selection:
    return select(paths or ["."], changed_since=ref, **options)


def content(selection: Selection, blob: str, name: str = "x.jsonl") -> str:
    assert selection.versions is not None
    with selection.versions.open(blob, name, 1 << 30) as path:
        return Path(path).read_text()


def told(selection: Selection) -> dict[str, tuple[str | None, str | None]]:
    """File -> (what is judged, its old version); None for the file on disk, and for no old version."""
    assert selection.problems == []
    try:
        return {
            file.name.replace(os.sep, "/"): (
                content(selection, file.blob) if file.blob else None,
                content(selection, file.old) if file.old else None,
            )
            for file in selection.files
        }
    finally:
        selection.close()


def test_the_index_is_judged_and_not_the_work_tree(repo: Repository) -> None:
    repo.rows("a.jsonl", 1)
    repo.commit()
    repo.rows("a.jsonl", 1, 2)
    repo.git("add", "a.jsonl")
    repo.rows("a.jsonl", 1, 2, 3)
    repo.rows("untracked.jsonl", 4)
    assert told(staged()) == {"a.jsonl": (lines(1, 2), lines(1))}
    assert "HEAD" in staged().comparison


def test_the_first_commit(repo: Repository) -> None:
    repo.rows("a.jsonl", 1)
    assert staged().files == []
    repo.git("add", "a.jsonl")
    assert told(staged()) == {"a.jsonl": (lines(1), None)}
    assert "no commit yet" in staged().comparison


def test_the_index_that_git_hands_to_a_hook(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """`git commit FILE` and `git commit -a` judge a temporary index, by a path relative to the top folder."""
    repo.rows("a.jsonl", 1)
    repo.rows("b.jsonl", 2)
    repo.commit()
    repo.rows("a.jsonl", 1, 3)
    shutil.copy(".git/index", ".git/other-index")
    repo.git("add", "a.jsonl", env={"GIT_INDEX_FILE": ".git/other-index"})
    assert told(staged()) == {}
    monkeypatch.setenv("GIT_DIR", ".git")
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/other-index")
    assert told(staged()) == {"a.jsonl": (lines(1, 3), lines(1))}


def test_the_work_tree_is_compared_with_the_merge_base(repo: Repository) -> None:
    repo.rows("a.jsonl", 1)
    repo.rows("b.jsonl", 1)
    repo.commit()
    repo.git("checkout", "-q", "-b", "topic")
    repo.rows("a.jsonl", 1, 2)
    repo.commit()
    repo.git("checkout", "-q", "main")
    repo.rows("b.jsonl", 1, 9)
    repo.commit()
    repo.git("checkout", "-q", "topic")
    assert told(since("main")) == {"a.jsonl": (None, lines(1))}
    repo.rows("a.jsonl", 1, 2, 3)
    repo.rows("new.jsonl", 4)
    repo.write(".gitignore", "ignored.jsonl\n")
    repo.rows("ignored.jsonl", 5)
    assert told(since("main")) == {"a.jsonl": (None, lines(1)), "new.jsonl": (None, None)}
    # Rows of main that a merge brings are not the topic's.
    repo.commit()
    repo.git("merge", "-q", "main")
    assert set(told(since("main"))) == {"a.jsonl", "new.jsonl"}


def test_changes_that_are_staged_and_then_changed_again(repo: Repository) -> None:
    for name in "abc":
        repo.rows(f"{name}.jsonl", name)
    repo.commit()
    repo.rows("a.jsonl", "a", 1)
    repo.git("rm", "-q", "--cached", "b.jsonl")
    repo.git("add", "a.jsonl")
    repo.rows("a.jsonl", "a", 1, 2)
    repo.git("rm", "-q", "c.jsonl")
    assert told(since("HEAD")) == {"a.jsonl": (None, lines("a")), "b.jsonl": (None, lines("b"))}


def test_a_commit_is_judged_without_a_work_tree(repo: Repository, tmp_path: Path) -> None:
    repo.rows("data/a.jsonl", 1)
    first = repo.commit()
    repo.rows("data/a.jsonl", 1, 2)
    second = repo.commit()
    repo.rows("data/a.jsonl", 1, 2, 3)
    expected = {"data/a.jsonl": (lines(1, 2), lines(1))}
    assert told(since(f"{first}...{second}")) == expected
    zeros = "0" * 40
    assert told(since(f"{zeros}...{second}")) == {"data/a.jsonl": (lines(1, 2), None)}
    repo.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    os.chdir(tmp_path / "bare.git")
    assert told(since(f"{first}...{second}")) == expected
    assert told(since(f"{first}...main", "data")) == expected
    assert told(since(f"{first}...main", "data/a.jsonl")) == expected
    with pytest.raises(UsageError, match="no work tree"):
        since(first)


def test_a_renamed_file_is_compared_with_its_old_name(repo: Repository) -> None:
    repo.rows("old.jsonl", *range(20))
    repo.commit()
    repo.git("mv", "old.jsonl", "new.jsonl")
    repo.rows("new.jsonl", *range(21))
    repo.git("add", "-A")
    expected = lines(*range(20))
    assert told(staged()) == {"new.jsonl": (lines(*range(21)), expected)}
    assert told(since("HEAD")) == {"new.jsonl": (None, expected)}


@pytest.mark.parametrize(
    ("old", "ignored"),
    [
        ("old.txt", ""),
        ("quarantine/old.jsonl", "quarantine/\n"),
        ("old.quarantine.jsonl", ""),
        (".cache/o.jsonl", ""),
    ],
)
def test_a_file_that_nobody_judged_under_its_old_name_is_new(
    old: str, ignored: str, repo: Repository
) -> None:
    repo.rows(old, *range(20))
    repo.write(".sqsdlintignore", ignored)
    repo.commit()
    repo.git("mv", old, "new.jsonl")
    repo.git("add", "-A")
    assert told(staged()) == {"new.jsonl": (lines(*range(20)), None)}
    assert told(staged("new.jsonl")) == {"new.jsonl": (lines(*range(20)), None)}


def test_a_file_that_moves_into_the_searched_folder_is_new(repo: Repository) -> None:
    repo.rows("elsewhere/a.jsonl", *range(20))
    repo.commit()
    (repo.root / "data").mkdir()
    repo.git("mv", "elsewhere/a.jsonl", "data/a.jsonl")
    assert told(staged("data")) == {"data/a.jsonl": (lines(*range(20)), None)}
    assert told(staged()) == {"data/a.jsonl": (lines(*range(20)), lines(*range(20)))}


def test_deleted_files_are_no_finding(repo: Repository) -> None:
    repo.rows("a.jsonl", 1)
    repo.commit()
    repo.git("rm", "-q", "a.jsonl")
    assert told(staged()) == told(since("HEAD")) == {}
    found = staged("a.jsonl")
    assert (found.problems, found.notes) == ([], ["1 named file is deleted: a.jsonl"])


def test_paths_restrict(repo: Repository) -> None:
    repo.write("README.md", "text")
    repo.commit()
    for name in (
        "z.jsonl",
        "a.jsonl",
        "data/x.jsonl",
        "data/deep/y.jsonl",
        "data2/w.jsonl",
        "data/config.json",
    ):
        repo.rows(name, name)
    repo.git("add", "-A")
    assert list(told(staged())) == [
        "a.jsonl",
        "z.jsonl",
        "data/x.jsonl",
        "data/deep/y.jsonl",
        "data2/w.jsonl",
    ]
    assert list(told(staged("data"))) == ["data/x.jsonl", "data/deep/y.jsonl"]
    assert list(told(staged("data/", "./z.jsonl", "data/x.jsonl"))) == [
        *("data/x.jsonl", "data/deep/y.jsonl", "./z.jsonl")
    ]
    assert list(told(staged(str(repo.root / "data2")))) == [f"{repo.root}/data2/w.jsonl"]
    # A file that is named is judged whatever its name.
    assert list(told(staged("data/config.json"))) == ["data/config.json"]
    os.chdir("data")
    assert list(told(staged())) == ["x.jsonl", "deep/y.jsonl"]
    assert list(told(since("HEAD"))) == ["x.jsonl", "deep/y.jsonl"]
    assert list(told(staged("../z.jsonl"))) == ["../z.jsonl"]


def test_what_is_named_and_not_judged_is_said(repo: Repository, tmp_path: Path) -> None:
    repo.rows("a.jsonl", 1)
    repo.commit()
    repo.rows("untracked.jsonl", 2)
    outside = tmp_path / "outside.jsonl"
    outside.write_text(lines(3))
    found = staged("a.jsonl", "untracked.jsonl")
    assert (found.files, found.problems) == ([], [])
    assert found.notes == [
        "1 named file is not staged: untracked.jsonl",
        "1 named file is unchanged: a.jsonl",
    ]
    found = staged("missing.jsonl", str(outside))
    assert [problem.message for problem in found.problems] == [
        *("no such file or folder", "outside of the repository")
    ]
    found = since("HEAD", "untracked.jsonl", str(outside))
    assert [file.name for file in found.files] == ["untracked.jsonl", str(outside)]
    assert found.notes == [
        f"1 file is not tracked by this repository, so that every row is judged: {outside}",
    ]
    assert since("HEAD", "missing.jsonl").problems != []
    names = [f"{i}.jsonl" for i in range(5)]
    for name in names:
        repo.rows(name, name)
    repo.commit()
    assert staged(*names).notes == ["5 named files are unchanged: 0.jsonl, 1.jsonl, 2.jsonl and 2 more"]
    with pytest.raises(UsageError, match="standard input"):
        staged("-")


def test_ignore_files(repo: Repository) -> None:
    repo.write(".gitignore", "tracked.jsonl\n")
    repo.write(".sqsdlintignore", "left.jsonl\nraw/\n")
    repo.write("deep/.sqsdlintignore", "!left.jsonl\nmine.jsonl\n")
    names = ("tracked.jsonl", "left.jsonl", "raw/x.jsonl", "deep/left.jsonl", "deep/mine.jsonl", "gone.jsonl")
    for name in names:
        repo.rows(name, name)
    repo.git("add", "-f", ".")
    # What git tracks it does not ignore.
    assert list(told(staged(exclude=["gone*"]))) == ["tracked.jsonl", "deep/left.jsonl"]
    assert list(told(staged("left.jsonl"))) == ["left.jsonl"]
    found = staged("left.jsonl", "raw", force_exclude=True)
    assert (found.files, found.notes) == ([], ["2 named paths are excluded: left.jsonl, raw"])


def test_scope_files_compares_nothing(repo: Repository) -> None:
    repo.rows("a.jsonl", 1)
    repo.commit()
    repo.rows("a.jsonl", 1, 2)
    repo.git("add", "a.jsonl")
    assert told(staged(whole=True)) == {"a.jsonl": (lines(1, 2), None)}


def test_names_that_need_care(repo: Repository) -> None:
    names = ["-n.jsonl", "ü ber.jsonl", ":(glob)*.jsonl", "a\tb.jsonl"]
    names += ["new\nline.jsonl"] if os.name == "posix" else []
    repo.write("README.md", "")
    repo.commit()
    for name in names:
        repo.rows(name, name)
    repo.git("add", "-A")
    assert set(told(staged())) == set(told(since("HEAD"))) == set(names)
    assert told(staged(*(f"./{name}" for name in names))).keys() == {f"./{name}" for name in names}


def test_a_merge_in_progress(repo: Repository) -> None:
    repo.rows("a.jsonl", 1)
    repo.rows("b.jsonl", 1)
    repo.commit()
    repo.git("checkout", "-q", "-b", "topic")
    repo.rows("a.jsonl", 2)
    repo.rows("b.jsonl", 1, 5)
    repo.commit()
    repo.git("checkout", "-q", "main")
    repo.rows("a.jsonl", 3)
    repo.commit()
    done = subprocess.run(["git", "merge", "-q", "topic"], capture_output=True, check=False)
    assert done.returncode == 1
    found = staged()
    # What the other branch brings is new to this one.
    assert [file.name for file in found.files] == ["b.jsonl"]
    assert [(p.where.file, p.message) for p in found.problems] == [
        ("a.jsonl", "not merged: there are conflicts")
    ]
    assert told(since("HEAD")) == {"a.jsonl": (None, lines(3)), "b.jsonl": (None, lines(1))}
    repo.rows("a.jsonl", 2, 3)
    repo.git("add", "a.jsonl")
    assert told(staged()) == {"a.jsonl": (lines(2, 3), lines(3)), "b.jsonl": (lines(1, 5), lines(1))}


def test_submodules_are_noted_and_not_entered(repo: Repository, tmp_path: Path) -> None:
    inner = Repository.new(tmp_path / "inner")
    inner.rows("x.jsonl", 1)
    inner.commit()
    repo.rows("a.jsonl", 1)
    repo.commit()
    repo.git("submodule", "--quiet", "add", str(inner.root), "vendor/data")
    found = staged()
    assert (found.files, found.notes) == ([], ["1 submodule is not entered: vendor/data"])
    repo.commit()
    repo.rows("vendor/data/x.jsonl", 1, 2)
    Repository(repo.root / "vendor/data").commit()
    found = since("HEAD")
    assert (found.files, found.notes) == ([], ["1 submodule is not entered: vendor/data"])
    found = since("HEAD", "vendor/data/x.jsonl", "vendor/data")
    assert [file.name for file in found.files] == ["vendor/data/x.jsonl"]
    assert staged("vendor/data/x.jsonl").notes == ["1 submodule is not entered: vendor/data/x.jsonl"]


def test_a_repository_inside_is_another_one(repo: Repository) -> None:
    repo.write("README.md", "")
    repo.commit()
    Repository.new(repo.root / "inner").rows("x.jsonl", 1)
    assert told(since("HEAD")) == {}


def test_linked_work_trees(repo: Repository, tmp_path: Path) -> None:
    repo.rows("a.jsonl", 1)
    repo.commit()
    repo.git("worktree", "add", "-q", str(tmp_path / "other"), "-b", "other")
    other = Repository(tmp_path / "other")
    os.chdir(other.root)
    other.rows("a.jsonl", 1, 2)
    other.git("add", "a.jsonl")
    assert told(staged()) == {"a.jsonl": (lines(1, 2), lines(1))}
    assert told(since("main")) == {"a.jsonl": (None, lines(1))}


def test_a_sparse_checkout_leaves_no_file_out(repo: Repository) -> None:
    repo.rows("a/x.jsonl", 1)
    repo.rows("b/x.jsonl", 1)
    base = repo.commit()
    repo.rows("b/x.jsonl", 1, 2)
    repo.commit()
    repo.git("sparse-checkout", "set", "a")
    assert not (repo.root / "b/x.jsonl").exists()
    assert told(since(base)) == {"b/x.jsonl": (lines(1, 2), lines(1))}


@posix
class TestLinks:
    def test_a_new_link_is_judged_whole(self, repo: Repository) -> None:
        repo.rows("store/a.jsonl", 1)
        repo.commit()
        (repo.root / "data").mkdir()
        (repo.root / "data/a.jsonl").symlink_to("../store/a.jsonl")
        repo.git("add", "-A")
        assert told(staged()) == {"data/a.jsonl": (lines(1), None)}
        assert told(since("HEAD")) == {"data/a.jsonl": (None, None)}

    def test_what_an_old_link_leads_to_is_judged(self, repo: Repository) -> None:
        repo.write("store/blob", lines(1))
        (repo.root / "data").mkdir()
        (repo.root / "data/a.jsonl").symlink_to("../store/blob")
        repo.commit()
        assert told(staged()) == {}
        repo.write("store/blob", lines(1, 2))
        repo.git("add", "-A")
        assert told(staged("data")) == {"data/a.jsonl": (lines(1, 2), None)}
        assert told(staged("data/a.jsonl")) == {"data/a.jsonl": (lines(1, 2), None)}
        assert told(since("HEAD", "data")) == {"data/a.jsonl": (None, None)}

    @pytest.mark.parametrize("target", ["/etc/passwd", "../../outside.jsonl", "nowhere.jsonl", "loop.jsonl"])
    def test_a_link_to_nothing_in_the_repository(self, target: str, repo: Repository) -> None:
        repo.write("../outside.jsonl", lines(1))
        repo.write("data/README.md", "")
        repo.commit()
        (repo.root / "data/loop.jsonl").symlink_to("loop.jsonl")
        repo.git("add", "-A")
        repo.git("commit", "-qm", "loop")
        (repo.root / "data/a.jsonl").symlink_to(target)
        repo.git("add", "-A")
        (problem,) = staged().problems
        assert (problem.code, problem.where.file) == ("SQSD304", "data/a.jsonl")
        (problem,) = since("HEAD").problems
        assert (problem.code, problem.where.file) == ("SQSD304", "data/a.jsonl")

    def test_a_file_that_was_a_link_has_no_old_version(self, repo: Repository) -> None:
        repo.rows("b.jsonl", 1)
        (repo.root / "a.jsonl").symlink_to("b.jsonl")
        repo.commit()
        (repo.root / "a.jsonl").unlink()
        repo.rows("a.jsonl", 1)
        repo.git("add", "-A")
        assert told(staged()) == {"a.jsonl": (lines(1), None)}

    def test_a_working_folder_behind_a_link(self, repo: Repository, tmp_path: Path) -> None:
        repo.rows("data/a.jsonl", 1)
        repo.git("add", "-A")
        (tmp_path / "link").symlink_to(repo.root)
        os.chdir(tmp_path / "link" / "data")
        assert list(told(staged())) == list(told(staged("a.jsonl"))) == ["a.jsonl"]
        assert list(told(staged(f"{tmp_path}/link/data"))) == [f"{tmp_path}/link/data/a.jsonl"]


class TestLargeFiles:
    DIGEST = "ab" * 32
    POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{DIGEST}\nsize 12\n"

    def test_a_pointer_stands_for_its_content_where_that_was_fetched(self, repo: Repository) -> None:
        repo.write("a.jsonl", self.POINTER)
        repo.git("add", "-A")
        assert told(staged()) == {"a.jsonl": (self.POINTER, None)}
        repo.write(f".git/lfs/objects/ab/ab/{self.DIGEST}", lines(1))
        assert told(staged()) == {"a.jsonl": (lines(1), None)}

    def test_an_object_over_the_limit_is_not_copied(self, repo: Repository) -> None:
        repo.rows("a.jsonl", *range(9))
        repo.rows("b.jsonl", 1)
        repo.git("add", "-A")
        found = staged()
        assert found.versions is not None
        with found.versions.open(found.files[0].blob, "a.jsonl", 10) as path:
            assert Path(path).read_bytes() == bytes(len(lines(*range(9))))
        assert content(found, found.files[1].blob) == lines(1)
        with pytest.raises(NotInRepositoryError):
            content(found, "0123456789" * 4)
        assert content(found, found.files[1].blob) == lines(1)
        found.close()


class TestNoComparison:
    def test_no_repository(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for option in ({"staged": True}, {"changed_since": "main"}):
            with pytest.raises(UsageError, match="needs a git repository"):
                select(["."], **option)

    def test_no_git(self, repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        with pytest.raises(UsageError, match="git is not installed"):
            staged()

    @pytest.mark.parametrize("ref", ["--output=x", "-", "a\nb", "nowhere", "...HEAD", "HEAD...", "a..b"])
    def test_what_is_no_commit(self, ref: str, repo: Repository) -> None:
        repo.rows("a.jsonl", 1)
        repo.commit()
        with pytest.raises(UsageError, match="commit"):
            since(ref)
        assert not Path("x").exists()

    def test_both_kinds(self, repo: Repository) -> None:
        with pytest.raises(UsageError, match="contradict"):
            select(["."], staged=True, changed_since="HEAD")

    def test_histories_that_share_nothing(self, repo: Repository) -> None:
        repo.rows("a.jsonl", 1)
        repo.commit()
        repo.git("checkout", "-q", "--orphan", "other")
        repo.commit("another root")
        with pytest.raises(UsageError, match="share no history"):
            since("main")

    def test_a_shallow_clone(self, repo: Repository, tmp_path: Path) -> None:
        repo.rows("a.jsonl", 1)
        base = repo.commit()
        repo.git("checkout", "-q", "-b", "topic")
        for i in range(2, 5):
            repo.rows("a.jsonl", 1, i)
            repo.commit(str(i))
        repo.git("checkout", "-q", "main")
        repo.rows("b.jsonl", 1)
        tip = repo.commit()
        url = repo.root.as_uri()
        repo.git("clone", "-q", "--depth", "1", "--branch", "topic", url, str(tmp_path / "shallow"))
        shallow = Repository(tmp_path / "shallow")
        os.chdir(shallow.root)
        with pytest.raises(UsageError, match="in this shallow clone") as raised:
            since(base)
        assert "fetch-depth: 0" in str(raised.value.hint)
        shallow.git("fetch", "-q", "--depth", "1", "origin", tip)
        with pytest.raises(UsageError, match="does not reach back") as raised:
            since(tip)
        assert "git fetch --unshallow" in str(raised.value.hint)
        shallow.git("fetch", "-q", "--unshallow")
        assert told(since(tip)) == {"a.jsonl": (None, lines(1))}


@posix
def test_no_configured_command_runs(repo: Repository, tmp_path: Path) -> None:
    repo.write(".gitattributes", "*.jsonl diff=trap filter=trap\n")
    repo.rows("a.jsonl", *range(20))
    repo.commit()
    witness = tmp_path / "ran"
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\necho $0 >> {witness}\ncat\n")
    trap.chmod(0o755)
    for key in ("core.fsmonitor", "diff.external", "diff.trap.command", "diff.trap.textconv", "core.pager"):
        repo.git("config", key, str(trap))
    repo.git("config", "diff.relative", "true")
    repo.git("mv", "a.jsonl", "b.jsonl")
    os.utime("b.jsonl", (1, 1))
    witness.unlink(missing_ok=True)
    assert set(told(staged())) == set(told(since("HEAD"))) == {"b.jsonl"}
    assert told(since("HEAD...HEAD")) == {}
    assert not witness.exists()


def test_a_quarantine_is_passed_by_with_a_note(repo: Repository) -> None:
    for name in ("a.jsonl", "kept.quarantine.jsonl", "gone.quarantine.jsonl"):
        repo.rows(name, 1)
    base = repo.commit()
    repo.git("mv", "a.jsonl", "a.quarantine.jsonl")
    repo.git("rm", "gone.quarantine.jsonl")
    repo.rows("b.jsonl", 2)
    repo.git("add", "b.jsonl")
    note = "1 quarantine file was not read: a.quarantine.jsonl"
    for selection in (staged(), since(base or "HEAD")):
        assert [file.name for file in selection.files] == ["b.jsonl"]
        assert selection.all_notes == (note,)
    for paths in ((".", "a.quarantine.jsonl"), ("a.quarantine.jsonl", ".")):
        selection = staged(*paths)
        assert {file.name for file in selection.files} == {"a.quarantine.jsonl", "b.jsonl"}
        assert selection.all_notes == ()


def test_a_quarantine_outside_of_the_repository_is_noted(repo: Repository, tmp_path: Path) -> None:
    repo.rows("a.jsonl", 1)
    repo.commit()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.quarantine.jsonl").write_text(lines(1))
    selection = since("HEAD", str(outside))
    assert selection.files == []
    assert selection.all_notes == (f"1 quarantine file was not read: {outside / 'x.quarantine.jsonl'}",)
