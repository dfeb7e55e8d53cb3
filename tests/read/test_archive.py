from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.read import Limits, read_rows
from sqsd_lint.types import Problem
from tests.read.brief import brief, only_problem
from tests.read.conftest import Read

LINES = b'{"a": 1}\n\n{"a": 2}\n'


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize("name", ["rows.zip", "rows.jsonl.ZIP"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_one_data_file_keeps_its_lines(read: Read, name: str, method: int) -> None:
    members = {"readme.md": b"x", "a/train.jsonl": LINES, "__MACOSX/a/._train.jsonl": b"\0\5", "b/": b""}
    assert brief(read(name, zipped(members, method))) == [(1, 0, {"a": 1}), (3, 1, {"a": 2})]


def test_several_data_files_are_numbered_through(read: Read) -> None:
    members = {
        "a.jsonl": LINES,
        "b.csv": b"a\n3\n",
        "c.jsonl.gz": gzip.compress(b"{\n"),
        "d.json": b'[{"a": 4}]',
    }
    items = read("rows.zip", zipped(members))
    assert brief(items) == [
        (1, 0, {"a": 1}),
        (2, 1, {"a": 2}),
        (3, 2, {"a": "3"}),
        (4, 3, "SQSD303"),
        (5, 4, {"a": 4}),
    ]
    assert only_problem(items).message.startswith("c.jsonl.gz:1: not JSON at line 1")


@pytest.mark.parametrize("suffix", [".parquet", ".pq", ".arrow"])
def test_tables_in_an_archive(read: Read, tmp_path: Path, suffix: str) -> None:
    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.parquet as pq

    path = tmp_path / f"t{suffix}"
    write: Any = pyarrow.feather.write_feather if suffix == ".arrow" else pq.write_table
    write(pa.table({"a": ["x", "y"]}), str(path))
    data = zipped({f"t{suffix}": path.read_bytes()})
    assert brief(read("rows.zip", data)) == [(1, 0, {"a": "x"}), (2, 1, {"a": "y"})]


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({"a.txt": b"x", "b.png": b"x"}, "'a.txt'"),
        ({"a.jsonl": LINES, "b.zip": zipped({"c.jsonl": LINES})}, "'b.zip'"),
        ({"a.tar.gz": b"x"}, "'a.tar.gz'"),
    ],
)
def test_what_cannot_be_read_is_named(read: Read, members: dict[str, bytes], word: str) -> None:
    problem = only_problem(read("rows.zip", zipped(members)))
    assert problem.code == "SQSD304"
    assert word in problem.message
    assert "unpack" in problem.hint


def test_an_archive_of_other_things_has_no_rows(read: Read) -> None:
    items = read("docs.zip", zipped({"a.png": b"x", "b/index.html": b"x", "package.json": b"{}"}))
    problem = only_problem(items)
    assert (problem.code, problem.foreign) == ("SQSD304", True)
    assert "no data file, but 'a.png', 'b/index.html', 'package.json'" in problem.message


def test_an_empty_archive_is_refused(read: Read) -> None:
    problem = only_problem(read("rows.zip", zipped({"__MACOSX/._x": b"", "folder/": b""})))
    assert not problem.foreign
    assert "without a file" in problem.message


def test_members_that_are_not_read_are_told(tmp_path: Path) -> None:
    members = {"a.jsonl": LINES, "more.txt": b"x", "x-config.json": b"{}", "b.quarantine.jsonl": LINES}
    (tmp_path / "rows.zip").write_bytes(zipped(members))
    told: list[str] = []
    assert len(list(read_rows(str(tmp_path / "rows.zip"), pass_by=told.append))) == 2
    assert told == ["more.txt", "x-config.json", "b.quarantine.jsonl"]


def test_encrypted_and_rare_methods_are_refused(read: Read) -> None:
    data = bytearray(zipped({"a.jsonl": LINES}))
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + at] |= 1
    assert "a.jsonl: encrypted" in only_problem(read("rows.zip", bytes(data))).message
    packed = zipped({"a.jsonl": LINES * 100}, zipfile.ZIP_BZIP2)
    assert "method 12" in only_problem(read("rows.zip", packed)).message


def test_limits_hold_over_all_members(read: Read) -> None:
    members = {f"{n}.jsonl": b'{"a": 1}\n' * 2000 for n in range(10)}
    items = read("rows.zip", zipped(members), limits=Limits(max_decompressed_bytes=50_000))
    assert "max_decompressed_bytes" in only_problem(items).message
    assert len(items) < 8000
    for name in ("a.jsonl", "a.parquet"):
        bomb = zipped({name: (b" " * 999 + b"\n") * 8000})
        assert "max_ratio" in only_problem(read("rows.zip", bomb, limits=Limits(max_ratio=100))).message


def test_a_long_list_of_members_is_not_even_read(read: Read) -> None:
    # The size of the list, in the last record, says 1 GiB.
    data = bytearray(zipped({"a.jsonl": LINES}))
    struct.pack_into("<I", data, data.rindex(b"PK\5\6") + 12, 2**30)
    assert "its list of files is longer" in only_problem(read("rows.zip", bytes(data))).message


def test_damage_anywhere_is_a_problem(read: Read) -> None:
    whole = zipped({"a.jsonl": LINES * 50, "b.csv": b"a\n1\n"})
    for keep in (0, 1, 21, 30, len(whole) // 2, len(whole) - 1):
        assert only_problem(read("rows.zip", whole[:keep])[-1:]).code == "SQSD304"
    for at in range(0, len(whole), 3):
        items = read("rows.zip", whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        assert all(not isinstance(i, Problem) or i.code in ("SQSD303", "SQSD304") for i in items)


def test_standard_input_is_refused() -> None:
    data = io.BytesIO(zipped({"a.jsonl": LINES}))
    assert "standard input" in only_problem(read_rows("-", stdin=data, stdin_format="zip")).message


def test_names_are_not_followed(read: Read, tmp_path: Path) -> None:
    data = zipped({"../../evil.jsonl": json.dumps({"a": 1}).encode()})
    assert brief(read("rows.zip", data)) == [(1, 0, {"a": 1})]
    assert {path.name for path in tmp_path.iterdir()} == {"rows.zip"}
