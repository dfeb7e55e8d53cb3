"""Which rows of a changed file are new."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.discover import select
from sqsd_lint.run.rows import Rows
from sqsd_lint.types import Problem
from tests.repository import Repository, lines, row


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    return Repository.here(tmp_path / "repo", monkeypatch)


def new(*paths: str, settings: Settings | None = None, **options: Any) -> tuple[list[str], Rows]:
    """The new rows as `file:line`, a problem's code behind it, and what `Rows` counted."""
    found = select(paths or ["."], **(options or {"staged": True}))
    rows = Rows(found, settings or Settings())
    items = list(rows)
    found.close()
    return [f"{i.where} {i.code}" if isinstance(i, Problem) else str(i.where) for i in items], rows


def test_only_new_rows(repo: Repository) -> None:
    repo.rows("a.jsonl", 1, 2, 3)
    repo.commit()
    repo.rows("a.jsonl", 3, 9, 1, 2, 8)
    repo.rows("b.jsonl", 1)
    repo.git("add", "-A")
    found, rows = new()
    assert found == ["a.jsonl:2", "a.jsonl:5", "b.jsonl:1"]
    assert (rows.unchanged, rows.partial, rows.notes) == (3, {"a.jsonl"}, [])
    assert new(changed_since="HEAD")[0] == found
    assert new(staged=True, whole=True)[0] == [*(f"a.jsonl:{i}" for i in range(1, 6)), "b.jsonl:1"]


def test_reordered_and_reformatted_rows_are_not_new(repo: Repository) -> None:
    repo.rows("a.jsonl", 1, 2, 3)
    repo.commit()
    text = "".join(
        json.dumps({"meta": i, **dict(reversed(row(i).items()))}, indent=None, separators=(",", ":")) + "\r\n"
        for i in (3, 1, 2)
    )
    repo.write("a.jsonl", text)
    repo.git("add", "-A")
    found, rows = new()
    assert (found, rows.unchanged) == ([], 3)


def test_a_renamed_file(repo: Repository) -> None:
    repo.rows("a.jsonl", *range(9))
    repo.commit()
    repo.git("mv", "a.jsonl", "b.jsonl")
    repo.rows("b.jsonl", *range(10))
    repo.git("add", "-A")
    found, rows = new()
    assert (found, rows.unchanged) == (["b.jsonl:10"], 9)


def test_rows_without_a_fingerprint_are_always_judged(repo: Repository) -> None:
    broken = lines(1) + "{\n" + '{"question": "Why?", "answer": ""}\n'
    repo.write("a.jsonl", broken)
    repo.commit()
    repo.write("a.jsonl", broken + '{"question": "Who?", "answer": ""}\n')
    repo.git("add", "-A")
    found, rows = new()
    assert found == ["a.jsonl:2 SQSD303", "a.jsonl:4 SQSD301"]
    assert rows.unchanged == 2


@pytest.mark.parametrize(
    "old",
    [
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 3\n".encode(),
        "\ufeffnot utf-16".encode("utf-16"),
        gzip.compress(lines(1).encode()),
    ],
    ids=["pointer", "encoding", "format"],
)
def test_against_an_old_version_that_cannot_be_read_every_row_is_new(old: bytes, repo: Repository) -> None:
    repo.write("a.jsonl", old)
    repo.commit()
    repo.rows("a.jsonl", 1, 2)
    repo.git("add", "-A")
    found, rows = new()
    assert found == ["a.jsonl:1", "a.jsonl:2"]
    assert (rows.unchanged, rows.partial) == (0, set())
    (note,) = rows.notes
    assert note.startswith("every row of a.jsonl is judged, since its old version cannot be read: ")


def test_a_pointer_that_is_staged_is_unreadable(repo: Repository) -> None:
    repo.write("a.jsonl", f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 3\n")
    repo.git("add", "-A")
    found = select(["."], staged=True)
    (problem,) = Rows(found, Settings())
    found.close()
    assert isinstance(problem, Problem)
    assert (problem.code, problem.where.file) == ("SQSD304", "a.jsonl")
    assert problem.hint == 'git lfs pull --include "a.jsonl"'


def test_other_formats(repo: Repository) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    zstandard = pytest.importorskip("zstandard")

    def write(count: int) -> None:
        rows = [row(i) for i in range(count)]
        pq.write_table(pa.Table.from_pylist(rows), "a.parquet")
        repo.write("b.jsonl.zst", zstandard.compress(lines(*range(count)).encode()))
        repo.write("c.json", json.dumps(rows))
        with (
            pa.OSFile("d.arrow", "wb") as sink,
            pa.ipc.new_file(sink, pa.Table.from_pylist(rows).schema) as out,
        ):
            out.write_table(pa.Table.from_pylist(rows))

    write(3)
    repo.commit()
    write(4)
    repo.git("add", "-A")
    found, rows = new()
    assert [item.partition(":")[0] for item in found] == ["a.parquet", "b.jsonl.zst", "c.json", "d.arrow"]
    assert rows.unchanged == 12


def test_columns_hold_for_both_versions(repo: Repository) -> None:
    def write(*numbers: int) -> None:
        rows = [{"q": f"What is {i}?", "a": f"{i}."} for i in numbers]
        repo.write("a.jsonl", "".join(json.dumps(each) + "\n" for each in rows))

    write(1, 2)
    repo.commit()
    write(2, 3, 1)
    repo.git("add", "-A")
    assert new(settings=Settings(columns={"prompt": "q", "response": "a"}))[0] == ["a.jsonl:2"]


def test_an_object_that_is_gone(repo: Repository) -> None:
    repo.rows("a.jsonl", 1)
    repo.commit()
    blob = repo.git("rev-parse", "HEAD:a.jsonl")
    repo.rows("a.jsonl", 1, 2)
    repo.git("add", "-A")
    (repo.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    found, rows = new()
    assert found == ["a.jsonl:1", "a.jsonl:2"]
    assert "not in the repository" in rows.notes[0]
    blob = repo.git("rev-parse", ":a.jsonl")
    (repo.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    assert new()[0] == ["a.jsonl SQSD304"]


def test_without_a_comparison_every_row_is_read(repo: Repository) -> None:
    repo.rows("a.jsonl", 1, 1)
    found, rows = new(staged=False)
    assert (found, rows.unchanged, rows.partial) == (["a.jsonl:1", "a.jsonl:2"], 0, set())


def plain(folder: Path, files: dict[str, Any], *paths: str, **settings: Any) -> tuple[list[str], list[str]]:
    """The items of a search as `file:line code rows`, and the notes."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else "".join(json.dumps(each) + "\n" for each in content)
        path.write_text(text)
    named = Settings(paths=tuple(paths or (".",)), **settings)
    rows = Rows(select(named.paths), named)
    items = [f"{i.where} {i.code} {i.rows}" if isinstance(i, Problem) else str(i.where) for i in rows]
    return items, rows.notes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_rows_that_training_pushes_away_from_are_counted_and_not_judged(folder: Path) -> None:
    kto = [{"prompt": f"Q{i}", "completion": "A", "label": i > 1} for i in range(3)]
    tagged = [{"instruction": "Q", "output": "A", "kto_tag": "False"}]
    items, notes = plain(folder, {"a.jsonl": kto, "b.jsonl": tagged})
    assert items == ["a.jsonl:3"]
    one, two = notes
    assert one.startswith("1 row is not judged: `kto_tag` is false")
    assert two.startswith("2 rows are not judged: `label` is false")


def test_a_row_whose_sign_is_turned_is_new(repo: Repository) -> None:
    row = {"prompt": "Q", "completion": "A", "label": False}
    repo.write("a.jsonl", json.dumps(row) + "\n")
    repo.commit()
    repo.write("a.jsonl", json.dumps({**row, "label": True}) + "\n")
    repo.git("add", "-A")
    assert new()[0] == ["a.jsonl:1"]


def test_what_is_not_scored_is_named_with_a_count(folder: Path) -> None:
    rows = [{"prompt": f"Q{i}", "response": "A", "cot": "T"} for i in range(2)]
    items, notes = plain(folder, {"a.jsonl": rows})
    assert len(items) == 2
    assert notes == ["rows with a column 'cot', which is not part of what is scored (2 rows)"]


def test_an_unknown_layout_is_one_finding_of_a_file(folder: Path) -> None:
    unknown = [{"utterance": f"Is it {i} o'clock?", "riposte": "No, it is not."} for i in range(500)]
    rows = [*unknown[:3], {"prompt": "Q", "response": "A"}, *unknown]
    items, notes = plain(folder, {"a.jsonl": rows, "b.jsonl": unknown, "c.json": json.dumps(unknown)})
    own = ["a.jsonl:1 SQSD303 503", "b.jsonl:1 SQSD303 500", "c.json:1#1 SQSD303 500"]
    assert items == ["a.jsonl:4", *own]
    assert notes == []


LOCALE = json.dumps({"hello": "Hello, dear reader", "bye": "See you very soon", "menu": {"open": "Open"}})
USERS = json.dumps([{"id": 1, "name": "Ann Lee", "mail": "ann@x.org"}, {"id": 2, "name": "Bo"}], indent=1)


def test_json_of_other_people_is_a_note_unless_it_is_named(folder: Path) -> None:
    files = {"locales/en.json": LOCALE, "fixtures/users.json": USERS, "names.json": '["a", "b"]'}
    (folder / "data").mkdir()
    items, notes = plain(folder, {**files, "data/a.jsonl": [{"prompt": "Q", "response": "A"}]})
    assert items == ["data/a.jsonl:1"]
    (note,) = notes
    assert note.startswith("3 files hold no row that looks like a sample")
    assert all(word in note for word in ("`exclude`", "`paths`", "locales/en.json"))
    for name in files:
        items, notes = plain(folder, {}, name)
        assert len(items) == 1
        assert "SQSD303" in items[0]
    # A framework names every file that a commit changes: that is no user who means it.
    items, notes = plain(folder, {}, *files, force_exclude=True)
    assert (items, len(notes)) == ([], 1)


def test_json_lines_that_are_no_rows_are_a_finding_wherever_they_are_found(folder: Path) -> None:
    items, notes = plain(folder, {"a.jsonl": [1, 2, 3]})
    assert (items, notes) == (["a.jsonl:1 SQSD303 3"], [])


def test_columns_that_no_row_has_are_named(folder: Path) -> None:
    rows = [{"question": "Q", "answer": "A"}]
    items, notes = plain(folder, {"a.jsonl": rows}, columns={"prompt": "qestion", "response": "answer"})
    assert items == ["a.jsonl:1"]
    assert notes == [
        "[columns] names 'qestion' as prompt, which no row has",
        "[columns] names 'answer' as response, which no row has",
    ]
