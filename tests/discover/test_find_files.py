from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from sqsd_lint.discover import SUFFIXES, find_files, select, suffix_of
from sqsd_lint.errors import UsageError
from sqsd_lint.types import Problem

Make = Callable[..., None]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes empty files in an empty working folder."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> None:
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text("", encoding="utf-8")

    return make


def write(name: str, *lines: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def found(*paths: str, exclude: Iterable[str] = (), force_exclude: bool = False) -> list[str]:
    files, problems, *_ = find_files(paths or ["."], exclude=list(exclude), force_exclude=force_exclude)
    assert problems == []
    return [file.replace(os.sep, "/") for file in files]


def problem_of(*paths: str) -> Problem:
    files, (problem,), *_ = find_files(paths)
    assert files == []
    assert problem.code == "SQSD304"
    return problem


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_suffix_of(suffix: str) -> None:
    assert suffix_of(f"folder.d/Rows.v2{suffix.upper()}") == suffix
    assert suffix_of(f"folder{suffix}/rows") == ""
    assert suffix_of(f"rows{suffix[1:]}") == ""


def test_folders_are_searched_for_data_in_a_fixed_order(make: Make) -> None:
    make(
        "b/x.jsonl",
        "a/z.csv",
        "a/y.Parquet",
        "a/deep/er/w.arrow",
        "t.tsv.gz",
        "n.ndjson",
        "README.md",
        "x.py",
        "B.json",
    )
    expected = ["B.json", "n.ndjson", "t.tsv.gz", "a/y.Parquet", "a/z.csv", "a/deep/er/w.arrow", "b/x.jsonl"]
    assert found() == expected
    assert found("b", "a") == ["b/x.jsonl", "a/y.Parquet", "a/z.csv", "a/deep/er/w.arrow"]
    assert found(os.getcwd()) == [f"{os.getcwd()}/{name}" for name in expected]


def test_named_files_are_taken_as_they_are(make: Make) -> None:
    make("notes.txt", "package.json", ".git/x.jsonl")
    names = ["notes.txt", "package.json", ".git/x.jsonl", "-"]
    assert found(*names) == names


def test_each_file_once(make: Make) -> None:
    make("a/x.jsonl")
    assert found("a/x.jsonl", "./a/x.jsonl", "a", ".", "-", "-") == ["a/x.jsonl", "-"]


def test_a_path_that_does_not_exist(make: Make) -> None:
    assert "no such file" in problem_of("none.jsonl").message
    assert problem_of("a\x00b").where.file == "a\x00b"


@pytest.mark.parametrize(
    "folder", [".git", ".venv", "node_modules", "__pycache__", ".cache", "a/.ruff_cache"]
)
def test_folders_of_tools_are_passed_by(make: Make, folder: str) -> None:
    make(f"{folder}/x.jsonl", f"{folder}/b/y.jsonl", "x.jsonl")
    assert found() == ["x.jsonl"]
    # One that is named is searched.
    assert found(folder) == [f"{folder}/x.jsonl", f"{folder}/b/y.jsonl"]


def test_the_mark_of_a_virtual_environment_hides_nothing(make: Make) -> None:
    make("env/pyvenv.cfg", "env/lib/x.jsonl", "env/lib/site-packages/y.jsonl", "x.jsonl")
    assert found() == ["x.jsonl", "env/lib/x.jsonl"]


NOT_DATA = [
    "package.json",
    "tsconfig.build.json",
    "app.config.json",
    "dataset_info.json",
    "adapter_config.json",
]


@pytest.mark.parametrize("name", [*NOT_DATA, ".eslintrc.json", "state.json", "Tokenizer_Config.json"])
def test_json_that_is_known_to_be_no_data_is_passed_by(make: Make, name: str) -> None:
    make(name)
    assert found() == []


@pytest.mark.parametrize(
    "name", ["train.json", "config.jsonl", ".hidden.jsonl", "metrics.csv", "package.json.gz"]
)
def test_everything_else_is_read(make: Make, name: str) -> None:
    make(name)
    assert found() == [name]


def test_exclude(make: Make) -> None:
    make(
        "archive/x.jsonl",
        "b/archive/y.jsonl",
        "b/z.jsonl",
        "b/keep.tmp.jsonl",
        "b/q.tmp.jsonl",
        "b/c/d.jsonl",
    )
    assert found(exclude=["archive/", "*.tmp.jsonl", "!keep.tmp.jsonl", "/b/c"]) == [
        "b/keep.tmp.jsonl",
        "b/z.jsonl",
    ]
    # Relative to the working folder, wherever the search begins.
    assert found("b", exclude=["/b/c", "*.tmp.jsonl"]) == ["b/z.jsonl", "b/archive/y.jsonl"]
    assert found(f"{os.getcwd()}/b", exclude=["/b/*"]) == []


def test_exclude_outside_of_the_working_folder(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("in/x.jsonl", "out/y.jsonl", "out/z.tmp.jsonl")
    monkeypatch.chdir("in")
    assert found("../out", exclude=["*.tmp.jsonl"]) == ["../out/y.jsonl"]


def test_exclude_holds_for_named_files_only_by_force(make: Make) -> None:
    make("a/x.jsonl", "y.jsonl", "z.jsonl", "b/w.jsonl")
    write(".sqsdlintignore", "z.jsonl")
    named = ["a/x.jsonl", "y.jsonl", "z.jsonl", "b"]
    assert found(*named, exclude=["a/", "b"]) == ["a/x.jsonl", "y.jsonl", "z.jsonl"]
    assert found(*named, exclude=["a/", "b"], force_exclude=True) == ["y.jsonl"]


@pytest.mark.parametrize("pattern", ["!", "[z-a]"])
def test_an_exclude_pattern_that_means_nothing(make: Make, pattern: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_files(["."], exclude=[pattern])
    assert caught.value.hint


def test_ignore_files(make: Make) -> None:
    make("a/x.jsonl", "a/y.jsonl", "a/b/x.jsonl", "a/b/keep.jsonl", "out/o.jsonl", "z.jsonl", "deep/z.jsonl")
    write(".gitignore", "# build", "out/", "x.jsonl", "/z.jsonl", "keep.jsonl", "!", "[z-a]")
    write("a/b/.gitignore", "!keep.jsonl")
    assert found() == ["a/y.jsonl", "a/b/keep.jsonl", "deep/z.jsonl"]
    write("a/.sqsdlintignore", "y.jsonl", "!x.jsonl")
    assert found() == ["a/x.jsonl", "a/b/keep.jsonl", "a/b/x.jsonl", "deep/z.jsonl"]


def test_ignore_files_above_the_folder(make: Make) -> None:
    make(".git/HEAD", "a/x.jsonl", "a/tmp.jsonl", "data/y.jsonl", "data/tmp.jsonl")
    write(".gitignore", "tmp.jsonl", "data/")
    assert found("a") == ["a/x.jsonl"]
    # A folder that is named is wanted, although it is ignored.
    assert found("data") == ["data/tmp.jsonl", "data/y.jsonl"]
    assert found() == ["a/x.jsonl"]


def test_ignore_files_beyond_the_repository_are_not_read(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make("repo/.git/HEAD", "repo/sub/x.jsonl")
    write(".gitignore", "x.jsonl")
    monkeypatch.chdir("repo")
    assert found("sub") == ["sub/x.jsonl"]


def test_agrees_with_git(make: Make) -> None:
    names = ["x.jsonl", "a/x.jsonl", "a/b/x.jsonl", "a/b/c/y.jsonl", "d/y.jsonl", "d/e/z z.jsonl", "é.jsonl"]
    make(*names)
    write(".gitignore", "/x.jsonl", "b/*", "!b/c", "**/e/", "d/**", "!d/y.jsonl", "\\#no", "trailing ")
    write("a/.gitignore", "!x.jsonl")
    subprocess.run(["git", "init", "-q"], check=True)
    listing = ["git", "-c", "core.quotepath=off", "ls-files", "--others", "--exclude-standard"]
    wanted = subprocess.run(listing, check=True, capture_output=True, encoding="utf-8").stdout.splitlines()
    assert sorted(found()) == sorted(name for name in wanted if name.endswith(".jsonl"))


needs_links = pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="needs symbolic links")


@needs_links
def test_links_to_folders_are_not_followed(make: Make) -> None:
    make("a/x.jsonl")
    Path("a/loop").symlink_to("..", target_is_directory=True)
    Path("self").symlink_to("self")
    Path("b.jsonl").symlink_to("a", target_is_directory=True)
    assert found() == ["a/x.jsonl"]
    # One that is named is.
    assert found("a/loop") == ["a/loop/a/x.jsonl"]


@needs_links
def test_links_to_files_inside_count_once(make: Make) -> None:
    make("a/x.jsonl", "a/blob")
    Path("a/link.jsonl").symlink_to("blob")
    Path("a/twin.jsonl").symlink_to("x.jsonl")
    assert found("a") == ["a/link.jsonl", "a/twin.jsonl"]


@needs_links
def test_links_that_leave_the_folder_are_reported(make: Make) -> None:
    make("in/x.jsonl", "out.jsonl")
    Path("in/link.jsonl").symlink_to("../out.jsonl")
    Path("in/dead.jsonl").symlink_to("nowhere")
    files, problems, *_ = find_files(["in"])
    assert files == ["in/x.jsonl"]
    assert [problem.where.file for problem in problems] == ["in/dead.jsonl", "in/link.jsonl"]
    assert "to nothing" in problems[0].message
    assert "outside" in problems[1].message


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may look into everything")
def test_a_folder_that_cannot_be_looked_into(make: Make) -> None:
    make("shut/x.jsonl", "y.jsonl")
    Path("shut").chmod(0)
    files, problems, *_ = find_files(["."])
    Path("shut").chmod(0o700)
    assert files == ["y.jsonl"]
    assert [problem.where.file for problem in problems] == ["shut"]


def test_folders_nested_deeper_than_python_recurses(make: Make) -> None:
    here = os.getcwd()
    for _ in range(300):
        os.mkdir("d" * 3)
        os.chdir("d" * 3)
    Path("x.jsonl").touch()
    os.chdir(here)
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(200)
        assert len(found()) == 1
    finally:
        sys.setrecursionlimit(limit)


def test_pathspec_is_imported_only_for_patterns(make: Make) -> None:
    make("x.jsonl")
    code = (
        "import sys; from sqsd_lint.discover import find_files; find_files(sys.argv[1:]);"
        "print('pathspec' in sys.modules)"
    )
    root = str(Path(__file__).parents[2])

    def imported() -> str:
        run = subprocess.run(
            [sys.executable, "-c", code, "."],
            env={**os.environ, "PYTHONPATH": root}, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return run.stdout.strip()

    assert imported() == "False"
    write(".gitignore", "*.tmp")
    assert imported() == "True"


def test_quarantine_is_passed_by_with_a_note(make: Make) -> None:
    make("a.jsonl", "b/x.quarantine.jsonl", "y.Quarantine.CSV.gz", "quarantine.jsonl", "z.quarantine.txt")
    make(".venv/v.quarantine.jsonl", "out/o.quarantine.jsonl")
    selection = select([".", "b"], exclude=["out"])
    assert [file.name for file in selection.files] == ["a.jsonl", "quarantine.jsonl"]
    inner = os.path.join("b", "x.quarantine.jsonl")
    assert selection.all_notes == (
        "1 file of another format was not read: z.quarantine.txt",
        f"2 quarantine files were not read: y.Quarantine.CSV.gz, {inner}",
        "1 folder of a tool holds files that may be data and was not searched: .venv",
        "1 path is left out by `exclude` or an ignore file: out",
    )


def test_a_quarantine_that_is_named_is_read(make: Make) -> None:
    make("a.jsonl", "x.quarantine.jsonl", "y.quarantine.jsonl")
    for paths in ([".", "x.quarantine.jsonl"], ["x.quarantine.jsonl", "."]):
        selection = select(paths)
        assert {file.name for file in selection.files} == {"a.jsonl", "x.quarantine.jsonl"}
        assert selection.all_notes == ("1 quarantine file was not read: y.quarantine.jsonl",)
