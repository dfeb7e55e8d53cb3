"""What is passed by below a named folder is told, once a kind, and rows hide behind no name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.discover import Selection, select
from tests.repository import Repository, lines

posix = pytest.mark.skipif(os.name != "posix", reason="symbolic links")

HIDDEN = [
    *("train.txt", "train.dat", "train", "train.jsonl.bak", "train.jsonl.1", "train.jsonl~", "train.json5"),
    *("train.jsonl.lz4", "train.7z", "train.tar.gz", "train.xlsx", "train.pkl", "train.yaml", "train.data"),
    *("train-config.json", "train.schema.json", "config.json", ".train.json", "train.quarantine.jsonl"),
]


@pytest.fixture
def data(repo: Repository) -> Repository:
    """One file of data, committed."""
    repo.rows("data/a.jsonl", 1)
    repo.commit()
    return repo


def everyhow(*paths: str, **options: Any) -> dict[str, Selection]:
    """A search, and the comparisons with the last commit."""
    return {
        "search": select(paths, **options),
        "staged": select(paths, staged=True, **options),
        "since": select(paths, changed_since="HEAD", **options),
    }


@pytest.mark.parametrize("name", HIDDEN)
def test_a_file_that_is_not_read_is_named(name: str, data: Repository) -> None:
    data.rows(f"data/deep/{name}", 2)
    data.git("add", "-A")
    for how, selection in everyhow("data").items():
        assert [file.name for file in selection.files] == (["data/a.jsonl"] if how == "search" else [])
        (note,) = selection.all_notes
        assert f"data/deep/{name}" in note, how
        assert selection.not_read.count == 1


@pytest.mark.parametrize(
    "name", ["a.jl", "a.jsonlines", "a.ndjson", "a.pq", "a.jsonl.xz", "a.CSV.BZ2", "a.zip", "a.arrow"]
)
def test_what_loaders_read_is_read(name: str, data: Repository) -> None:
    data.rows(f"data/{name}", 2)
    data.git("add", "-A")
    for selection in everyhow("data").values():
        assert f"data/{name}" in [file.name for file in selection.files]
        assert selection.all_notes == ()


FOLDERS = ["node_modules", ".cache", ".venv", ".svn", "a/__pycache__", "site-packages/b"]


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("name", ["train.jsonl", "train.parquet.xz", "train.txt", "train.quarantine.csv"])
def test_folders_of_tools_hide_nothing(folder: str, name: str, data: Repository) -> None:
    data.rows(f"data/{folder}/c/{name}", 2)
    data.git("add", "-A")
    for how, selection in everyhow("data").items():
        (note,) = selection.all_notes
        wanted = f"data/{folder.split('/b')[0]}" if how == "search" else f"data/{folder}/c/{name}"
        assert note.endswith(f": {wanted}"), note
        assert selection.not_read.count == 1


def test_folders_of_tools_with_nothing_like_data_are_no_news(data: Repository) -> None:
    for name in (
        "node_modules/x.js",
        "__pycache__/x.pyc",
        ".github/workflows/ci.yml",
        ".vscode/settings.json",
    ):
        data.write(f"data/{name}", "x")
    data.git("add", "-A")
    for selection in everyhow("data").values():
        assert selection.all_notes == ()
    assert select(["."]).all_notes == ()  # .git


def test_a_large_folder_of_a_tool_is_not_looked_through(data: Repository) -> None:
    for number in range(2_100):
        data.write(f"data/node_modules/{number}.js", "")
    (note,) = select(["data"]).all_notes
    assert note.endswith("data/node_modules")


@pytest.mark.parametrize("mark", ["", "home = /usr/bin\n"])
def test_the_mark_of_a_virtual_environment_hides_nothing(mark: str, data: Repository) -> None:
    data.write("data/env/pyvenv.cfg", mark)
    data.write("data/env/bin/python", "")
    data.rows("data/env/train.jsonl", 2)
    data.git("add", "-A")
    for selection in everyhow("data").values():
        assert "data/env/train.jsonl" in [file.name for file in selection.files]


def test_a_project_of_programs_makes_one_line_a_kind(data: Repository) -> None:
    for number in range(30):
        data.write(f"data/src/{number}.py", "")
        data.write(f"data/node_modules/{number}/package.json", "{}")
        data.write(f"data/node_modules/{number}/data.csv", "")
    for name in ("README.md", "LICENSE", "package.json", "tsconfig.json", "requirements.txt", "notes.text"):
        data.write(f"data/{name}", "")
    selection = select(["data"])
    assert selection.all_notes == (
        "34 files of other formats were not read: 1 .text, 1 .txt, 30 .py, 1 .md, 1 without a suffix",
        "2 JSON files were not read, since their names are those of settings or metadata: data/package.json,"
        " data/tsconfig.json",
        "1 folder of a tool holds files that may be data and was not searched: data/node_modules",
    )
    assert selection.not_read.count == 2 + 2 + 1


def test_many_changed_files_are_named_up_to_a_few_the_likely_ones_first(data: Repository) -> None:
    for number in range(30):
        data.write(f"data/{number:02}.py", "")
    data.write("data/zz.jsonl.old", "")
    data.git("add", "-A")
    (note,) = select(["data"], staged=True).all_notes
    assert note.startswith("31 files of other formats were not read: data/zz.jsonl.old, data/00.py, ")
    assert note.endswith(" and 21 more")


@pytest.mark.parametrize(
    ("where", "pattern"),
    [
        *((".gitignore", pattern) for pattern in ("*.jsonl", "hidden/", "data/*")),
        *(("data/.gitignore", pattern) for pattern in ("*.jsonl", "hidden/", "*")),
    ],
)
def test_what_git_tracks_is_not_ignored(where: str, pattern: str, data: Repository) -> None:
    data.rows("data/hidden/b.jsonl", 2)
    data.git("add", "-A")
    data.write(where, f"{pattern}\n")
    data.rows("data/hidden/untracked.jsonl", 3)
    for how, selection in everyhow("data").items():
        names = [file.name for file in selection.files]
        assert names == (["data/a.jsonl"] if how == "search" else []) + ["data/hidden/b.jsonl"]
    (note,) = select(["data"]).all_notes
    assert "left out by `exclude` or an ignore file: data/hidden/untracked.jsonl" in note
    data.write("data/.sqsdlintignore", "hidden\n")
    for selection in everyhow("data").values():
        assert "data/hidden/b.jsonl" not in [file.name for file in selection.files]
        assert "left out" in selection.all_notes[-1]
        assert selection.not_read.count == 0


def test_ignore_files_that_no_review_shows_hide_nothing(data: Repository, tmp_path: Path) -> None:
    data.write(".git/info/exclude", "b.jsonl\n")
    (tmp_path / "ignore").write_text("c.jsonl\n")
    data.git("config", "core.excludesFile", str(tmp_path / "ignore"))
    for name in "bc":
        data.rows(f"data/{name}.jsonl", name)
    assert [f.name for f in select(["data"], changed_since="HEAD").files] == ["data/b.jsonl", "data/c.jsonl"]


def test_a_repository_inside_is_named(data: Repository) -> None:
    inner = Repository.new(data.root / "data/inner")
    inner.rows("x.jsonl", 1)
    inner.commit()
    selection = select(["data"], changed_since="HEAD")
    assert selection.files == []
    (note,) = selection.all_notes
    assert note == "1 repository inside of this one was not entered: data/inner"
    assert "data/inner/x.jsonl" in [file.name for file in select(["data"]).files]
    assert select(["other", "data/a.jsonl"], changed_since="HEAD").not_read.count == 0


@posix
class TestLinks:
    def test_a_link_to_a_folder_outside_is_named(self, data: Repository, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside/x.jsonl").write_text(lines(2))
        (data.root / "data/more").symlink_to("../../outside")
        (data.root / "data/more.jsonl").symlink_to("../../outside")
        data.git("add", "-A")
        for how, selection in everyhow("data").items():
            # To the index, a link with a name of data leads to nothing.
            assert [p.where.file for p in selection.problems] == ["data/more.jsonl"] * (how == "staged")
            assert "data/more" in selection.all_notes[0], how
            assert selection.not_read.count >= 1

    def test_a_link_to_what_is_searched_anyway_is_no_news(self, data: Repository) -> None:
        data.rows("data/deep/b.jsonl", 2)
        (data.root / "data/again").symlink_to("deep")
        (data.root / "data/name").symlink_to("a.jsonl")
        assert select(["data"]).all_notes == ()
        (data.root / "link").symlink_to("data")
        assert select(["link"]).all_notes == ()

    def test_a_link_to_a_folder_that_is_searched_by_another_name_is_no_news(self, data: Repository) -> None:
        data.rows("other/b.jsonl", 2)
        (data.root / "data/more").symlink_to("../other")
        assert "data/more" in select(["data"]).all_notes[0]
        assert select(["data", "other"]).all_notes == ()

    @pytest.mark.parametrize("way", ["../hidden", "../alias", "../alias/../hidden", ".."])
    def test_a_change_behind_an_old_link_is_told(self, way: str, data: Repository) -> None:
        data.rows("hidden/b.jsonl", 2)
        (data.root / "alias").symlink_to("hidden")
        (data.root / "data/more").symlink_to(way)
        data.commit()
        assert select(["data"], changed_since="HEAD").all_notes == ()
        data.rows("hidden/b.jsonl", 2, 3)
        data.git("add", "-A")
        for selection in everyhow("data").values():
            assert selection.all_notes == ("1 symbolic link was not followed: data/more",)
        # What is searched is no news.
        assert select([".", "data"], staged=True).all_notes == ()
