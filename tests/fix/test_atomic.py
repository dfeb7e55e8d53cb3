"""Whenever the machine stops, the old file is there or the new one, and no row is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from sqsd_lint.common.atomic import Replacement, identity_of
from sqsd_lint.errors import SqsdLintError
from sqsd_lint.fix import Moved, apply, plan
from tests.fix.risky import fix, raws, violations

ROWS = [{"prompt": f"p{n // 2}", "completion": "c" * 100} for n in range(10)]  # each of them twice
MOVED = [0, 1, 2, 7]

# Counts the calls that force data to disk or rename, and stops the process before or after one of them.
SCRIPT = """
import json, os, sys
from tests.fix.risky import fix
name, indices, *at = sys.argv[1:]
count = 0
def stopping(call):
    def stop(*args):
        global count
        count += 1
        if at == [str(count), "before"]:
            os._exit(9)
        call(*args)
        if at == [str(count), "after"]:
            os._exit(9)
    return stop
os.replace, os.fsync = stopping(os.replace), stopping(os.fsync)
fix(name, json.loads(indices))
print(count)
"""

STEPS = 6  # two files forced to disk; then for each of them a rename and its folder


def write(name: str, rows: list[dict[str, str]]) -> Path:
    path = Path(name)
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return path


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, name, json.dumps(MOVED), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )


def count(path: Path) -> Counter[str]:
    return Counter(map(repr, raws(path))) if path.exists() else Counter()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_a_kill_loses_nothing(here: Path, step: int, when: str) -> None:
    _check_kill("a.jsonl", step, when)


@pytest.mark.parametrize(
    ("step", "when"), [(2, "after"), (3, "before"), (3, "after"), (5, "before"), (5, "after")]
)
def test_a_kill_loses_no_row_of_parquet(here: Path, step: int, when: str) -> None:
    _check_kill("a.parquet", step, when)


def _check_kill(name: str, step: int, when: str) -> None:
    path, shelf = write(name, ROWS), Path(name.replace(".", ".quarantine."))
    old, all_rows = path.read_bytes(), count(path)
    assert run(name, str(step), when).returncode == 9
    there = path.read_bytes()
    assert count(path) + count(shelf) >= all_rows
    stopped_early = there == old
    if stopped_early:
        # What is left behind is no data, and the next run does the whole work without a row twice.
        assert run(name).returncode == 0
    assert raws(path) == [row for n, row in enumerate(ROWS) if n not in MOVED]
    assert raws(shelf) == [ROWS[n] for n in MOVED]
    assert {p.name for p in Path().iterdir() if not p.name.endswith(".tmp")} == {path.name, shelf.name}


def test_there_are_no_other_steps(here: Path) -> None:
    write("a.jsonl", ROWS)
    done = run("a.jsonl")
    assert (done.stdout, done.stderr) == (f"{STEPS}\n", "")


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_failure_leaves_the_file_and_nothing_else(
    here: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = write("a.jsonl", ROWS)
    old = path.read_bytes()
    made = plan(violations(path, MOVED))

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(SqsdLintError, match=r"a\.jsonl: not fixed: No space left"):
        list(apply(made))
    assert [p.name for p in Path().iterdir()] == ["a.jsonl"]
    assert path.read_bytes() == old


def test_rows_in_both_files_are_not_added_again(here: Path) -> None:
    path = write("a.jsonl", ROWS)
    whole = path.read_bytes()
    fix(path, MOVED)
    taken = Path("a.quarantine.jsonl").read_bytes()
    path.write_bytes(whole)
    assert fix(path, [*MOVED, 3]) == [Moved("a.jsonl", "a.quarantine.jsonl", rows=5, added=1)]
    # Row 3 is the second copy of row 2: each copy that leaves is in the quarantine.
    assert Path("a.quarantine.jsonl").read_bytes() == taken + whole.splitlines(keepends=True)[3]


def test_a_file_that_changes_meanwhile_is_left(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a.jsonl", ROWS)
    made = plan(violations(path, MOVED))
    changed = path.read_bytes() + b"\n"
    path.write_bytes(changed)
    with pytest.raises(SqsdLintError, match="has changed meanwhile"):
        list(apply(made))
    assert path.read_bytes() == changed
    assert [p.name for p in Path().iterdir()] == ["a.jsonl"]


def test_a_quarantine_file_that_appears_meanwhile_is_not_overwritten(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("a.jsonl", ROWS)
    made = plan(violations(path, MOVED))
    seal = Replacement.seal

    def seal_late(self: Replacement) -> None:
        Path("a.quarantine.jsonl").write_text("somebody else's")
        seal(self)

    monkeypatch.setattr(Replacement, "seal", seal_late)
    with pytest.raises(SqsdLintError, match=r"a\.quarantine\.jsonl has changed meanwhile"):
        list(apply(made))
    assert Path("a.quarantine.jsonl").read_text() == "somebody else's"
    assert len(raws(path)) == 10


def test_permissions_are_kept(here: Path) -> None:
    path = write("a.jsonl", ROWS)
    path.chmod(0o640)
    fix(path, [0])
    shelf = Path("a.quarantine.jsonl")
    assert [p.stat().st_mode & 0o7777 for p in (path, shelf)] == [0o640, 0o640]
    shelf.chmod(0o600)
    fix(path, [0])
    assert [p.stat().st_mode & 0o7777 for p in (path, shelf)] == [0o640, 0o600]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_is_kept(here: Path) -> None:
    path = write("a.jsonl", ROWS)
    os.chown(path, 12345, 54321)
    fix(path, [0])
    for name in ("a.jsonl", "a.quarantine.jsonl"):
        assert (os.stat(name).st_uid, os.stat(name).st_gid) == (12345, 54321)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_whose_owner_cannot_be_kept_is_left(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a.jsonl", ROWS)
    os.chown(path, 12345, 54321)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(SqsdLintError, match="not fixed: the owner of the file cannot be kept"):
        fix(path, [0])
    assert [p.name for p in Path().iterdir()] == ["a.jsonl"]


def test_another_name_of_the_same_file_keeps_the_old_content(here: Path) -> None:
    # Caches of DVC and the hub link files: their copy must not change.
    path = write("a.jsonl", ROWS)
    os.link(path, "cached")
    old = path.read_bytes()
    fix(path, [0])
    assert Path("cached").read_bytes() == old
    assert len(raws(path)) == 9


def test_a_name_of_full_length_can_be_replaced(here: Path) -> None:
    path = write("a" * 230 + ".jsonl", ROWS)
    fix(path, [0])
    assert len(raws(path)) == 9


def test_identity(here: Path) -> None:
    assert identity_of("a") is None
    path = write("a.jsonl", ROWS)
    first = identity_of("a.jsonl")
    shutil.copy("a.jsonl", "b")
    os.replace("b", path)
    assert identity_of("a.jsonl") != first
    os.symlink("a.jsonl", "link")
    with pytest.raises(OSError, match="link"):
        identity_of("link")
