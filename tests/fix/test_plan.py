from __future__ import annotations

import gzip
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from sqsd_lint.discover import find_files
from sqsd_lint.errors import ConfigError, ExitCode, SqsdLintError, UsageError
from sqsd_lint.fix import apply, plan, refuse_stdin, remaining
from sqsd_lint.types import Severity, Where
from tests.fix.risky import fix, raws, violation, violations

ERROR, WARNING = Severity.ERROR, Severity.WARNING


@pytest.fixture
def path(here: Path) -> Path:
    return write("a.jsonl")


def write(name: str, rows: int = 4) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"prompt": f"p{n}", "completion": "c"}) + "\n" for n in range(rows)]
    path.write_text("".join(lines))
    return path


def test_only_the_wanted_severities_move(path: Path) -> None:
    found = violations(path, [1]) + violations(path, [1, 2], "SQSD102", WARNING)
    made = plan(found)
    assert [(m.where.index, len(m.violations)) for m in made.files[0].moves] == [(1, 1)]
    assert (made.rows, made.left) == (1, ())
    assert remaining(found, made) == (found[2],)
    strict = plan(found, severities=(ERROR, WARNING))
    assert [(m.where.index, len(m.violations)) for m in strict.files[0].moves] == [(1, 2), (2, 1)]
    assert remaining(found, strict) == ()


@pytest.mark.parametrize(
    ("rule", "index", "reason"),
    [
        ("SQSD201", -1, "no answer"),
        ("SQSD101", -1, "no answer"),
        ("SQSD302", 1, "what has no score is to be repaired"),
        ("SQSD301", 1, "no score"),
        ("SQSD303", 1, "no score"),
        ("SQSD304", -1, "no score"),
    ],
)
def test_what_moving_a_row_does_not_answer_is_left(path: Path, rule: str, index: int, reason: str) -> None:
    found = [violation(Where("a.jsonl", index + 1, index), rule=rule)]
    made = plan(found)
    assert made.files == ()
    assert reason in made.left[0].reason
    assert remaining(found, made) == tuple(found)
    assert list(apply(made)) == []


def test_files_stay_apart_and_in_order(here: Path) -> None:
    for name in ("b/x.jsonl", "a/x.jsonl.gz"):
        write(name)
    Path("a/x.jsonl.gz").write_bytes(gzip.compress(Path("a/x.jsonl.gz").read_bytes()))
    found = violations("b/x.jsonl", [0, 1]) + violations("a/x.jsonl.gz", [3])
    made = plan(found)
    assert [(f.file, f.quarantine, f.rows) for f in made.files] == [
        ("b/x.jsonl", "b/x.quarantine.jsonl", 2),
        ("a/x.jsonl.gz", "a/x.quarantine.jsonl.gz", 1),
    ]
    assert [m.rows for m in apply(made)] == [2, 1]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet"])
def test_a_row_that_is_not_the_one_that_was_scored_stops_everything(here: Path, name: str) -> None:
    rows = [{"prompt": f"p{n}", "completion": "c"} for n in range(4)]

    def store(rows: list[dict[str, str]]) -> None:
        if name == "a.parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.Table.from_pylist(rows), name)
        elif name == "a.csv":
            lines = [",".join(row.values()) for row in rows]
            Path(name).write_text("prompt,completion\n" + "".join(line + "\n" for line in lines))
        elif name == "a.json":
            Path(name).write_text(json.dumps(rows, indent=1))
        else:
            Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    store(rows)
    found = violations(name, [1, 3])
    other = write("other.jsonl")
    for changed in ([*rows[:3], {"prompt": "new", "completion": "c"}], rows[:3]):
        store(changed)
        whole = Path(name).read_bytes()
        with pytest.raises(SqsdLintError) as caught:
            plan(violations(other, [0]) + found)
        assert f"{name}:{found[1].where.line}: the row there is not the one" in caught.value.message
        assert caught.value.hint
        assert caught.value.exit_code is ExitCode.CANNOT_SCORE
        assert Path(name).read_bytes() == whole
    Path(name).unlink()
    with pytest.raises(SqsdLintError, match="has changed"):
        plan(found)


def test_a_row_that_became_ambiguous_is_another(path: Path) -> None:
    found = violations(path, [0])
    path.write_text('{"prompt": "x", "prompt": "p0", "completion": "c"}\n')
    with pytest.raises(SqsdLintError, match=r"a\.jsonl:1"):
        plan(found)


def test_metadata_may_change(path: Path) -> None:
    found = violations(path, [0])
    path.write_text('{"prompt": "p0", "completion": "c", "id": 7}\n')
    assert [moved.rows for moved in apply(plan(found))] == [1]
    assert json.loads(Path("a.quarantine.jsonl").read_text())["id"] == 7


def test_named_columns_are_used(here: Path) -> None:
    Path("a.csv").write_text("q,a\nx,y\n")
    from sqsd_lint.read import read_rows
    from sqsd_lint.samples import Columns, Reading, to_sample

    (row,) = read_rows("a.csv")
    sample = to_sample(row, Reading.by(Columns(prompt="q", response="a")))  # type: ignore[arg-type]
    found = [violation(Where("a.csv", 2, 0), fingerprint=sample.fingerprint)]
    with pytest.raises(SqsdLintError, match="is not the one"):
        plan(found)
    assert plan(found, reading=Reading.from_tables({"prompt": "q", "response": "a"})).rows == 1
    with pytest.raises(ConfigError):
        plan(found, reading=Reading.from_tables({"promt": "q"}))


def test_standard_input_is_refused(here: Path) -> None:
    with pytest.raises(UsageError, match="standard input"):
        refuse_stdin(["a.jsonl", "-"])
    refuse_stdin(["a.jsonl"])
    with pytest.raises(UsageError, match="standard input"):
        plan([violation(Where("<stdin>", 1, 0), fingerprint="0" * 32)])


def test_a_link_is_refused(path: Path) -> None:
    os.symlink("a.jsonl", "link.jsonl")
    with pytest.raises(UsageError, match=r"link\.jsonl: a symbolic link"):
        plan(violations("link.jsonl", [0]))
    os.symlink("/etc/passwd", "a.quarantine.jsonl")
    with pytest.raises(UsageError, match=r"a\.quarantine\.jsonl: a symbolic link"):
        plan(violations(path, [0]))
    Path("a.quarantine.jsonl").unlink()
    Path("a.quarantine.jsonl").mkdir()
    with pytest.raises(UsageError, match="not a regular file"):
        plan(violations(path, [0]))


def test_a_file_outside_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("out/a.jsonl")
    (here / "in").mkdir()
    (here / "in" / "data").symlink_to(here / "out")
    monkeypatch.chdir(here / "in")
    for name in (str(here / "out" / "a.jsonl"), "../out/a.jsonl", "data/a.jsonl"):
        with pytest.raises(UsageError, match="outside of the working folder"):
            plan(violations(name, [0]))
    inside = str(write(str(here / "in" / "b.jsonl")))
    assert plan(violations(inside, [0])).rows == 1


def test_what_is_read_only_is_refused(path: Path) -> None:
    path.chmod(0o444)
    with pytest.raises(UsageError, match=r"a\.jsonl: read-only"):
        plan(violations(path, [0]))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only_is_refused(here: Path) -> None:
    write("d/a.jsonl")
    Path("d").chmod(0o555)
    with pytest.raises(UsageError, match="d: no file can be written there"):
        plan(violations("d/a.jsonl", [0]))


def test_a_document_that_is_one_row_is_left(here: Path) -> None:
    Path("a.json").write_text('{"prompt": "p", "completion": "c", "data": []}')
    made = plan(violations("a.json", [0]))
    assert made.files == ()
    assert "one row" in made.left[0].reason


def test_a_file_that_cannot_be_read_to_its_end_is_left(here: Path) -> None:
    write("a.jsonl", 100)
    data = gzip.compress(Path("a.jsonl").read_bytes())
    Path("a.jsonl.gz").write_bytes(data[:-20])
    found = [replace(v, where=replace(v.where, file="a.jsonl.gz")) for v in violations("a.jsonl", [0])]
    made = plan(found)
    assert "cannot be read to its end" in made.left[0].reason
    Path("b.csv").write_text('prompt,completion\na,b\nc,"d\n')
    made = plan(violations("b.csv", [0]))
    assert "a quote is never closed" in made.left[0].reason


def test_a_quarantine_file_is_not_fixed_itself(path: Path) -> None:
    fix(path, [0, 1])
    made = plan(violations("a.quarantine.jsonl", [0]))
    assert "quarantine file itself" in made.left[0].reason


def test_a_search_passes_quarantine_files_by(here: Path) -> None:
    for name in ("a.jsonl", "quarantine.jsonl"):
        fix(write(name), [0])
    Path("b.QUARANTINE.csv.gz").write_bytes(b"")
    assert find_files(["."]).files == ["a.jsonl", "quarantine.jsonl"]
    assert find_files(["a.quarantine.jsonl"]).files == ["a.quarantine.jsonl"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"\xff\xfe\x00", "cannot be read: encoded as"),
        ("a.csv", b"other,columns\nx,y\n", "other columns"),
        ("a.json", b'{"data": []}', "no JSON array"),
        ("a.json", b"[" + b" " * 70_000 + b"]", "white space"),
    ],
)
def test_a_quarantine_file_that_rows_cannot_join_is_refused(
    here: Path, name: str, content: bytes, message: str
) -> None:
    rows = [{"prompt": "p", "completion": str(n)} for n in range(3)]
    text = json.dumps(rows) if name == "a.json" else "".join(json.dumps(row) + "\n" for row in rows)
    Path(name).write_text("prompt,completion\na,b\n" if name == "a.csv" else text)
    shelf = Path(name.replace(".", ".quarantine."))
    shelf.write_bytes(content)
    whole = Path(name).read_bytes()
    with pytest.raises(SqsdLintError, match=f"{name}: not fixed: .*{message}") as caught:
        fix(name, [0])
    assert caught.value.hint
    assert (Path(name).read_bytes(), shelf.read_bytes()) == (whole, content)
    assert {p.name for p in Path().iterdir()} == {name, shelf.name}


@pytest.mark.parametrize(
    ("content", "index"),
    [
        (b'{"version": 1, "data": [{"prompt": "p", "completion": "c"}]}', 0),  # would be a row itself
        (b'{"data": [{"prompt": "p", "completion": "c"}, 3]}', 0),  # would no longer be an array of objects
        (  # would begin with an empty line, and so be no JSON Lines any more
            b'{"prompt": "p", "completion": "c"}\n\n'
            b'{"prompt": "q", "completion": "c"}\n{"prompt": "r", "completion": "c"}\n',
            0,
        ),
    ],
)
def test_the_rows_that_stay_must_still_be_read_as_before(here: Path, content: bytes, index: int) -> None:
    Path("a.json").write_bytes(content)
    with pytest.raises(SqsdLintError, match=r"a\.json: not fixed") as caught:
        fix("a.json", [index])
    assert caught.value.hint
    assert Path("a.json").read_bytes() == content
    assert [p.name for p in Path().iterdir()] == ["a.json"]


def test_a_row_with_any_name_or_text_moves(here: Path) -> None:
    name = "a\x1b[31m\n.jsonl"
    rows = ['{"prompt": "\\ud800", "completion": "\\u0000"}', '{"prompt": "\u2028", "completion": "x"}']
    Path(name).write_text("\n".join(rows), encoding="utf-8")
    fix(name, [0])
    assert raws("a\x1b[31m\n.quarantine.jsonl") == [json.loads(rows[0])]
    assert raws(name) == [json.loads(rows[1])]
