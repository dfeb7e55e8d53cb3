from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
from functools import partial
from pathlib import Path

import pytest
import zstandard

from sqsd_lint.discover import SUFFIXES
from sqsd_lint.read import SUFFIXES as READ_SUFFIXES
from sqsd_lint.read import Limits, read_rows
from sqsd_lint.types import Problem, Where
from tests.read.brief import brief, only_problem
from tests.read.conftest import Read

ROW = b'{"a": 1}\n'
PACK = {
    "gz": gzip.compress,
    "zst": zstandard.ZstdCompressor().compress,
    "xz": partial(lzma.compress, preset=0),
    "bz2": bz2.compress,
}


def test_suffixes() -> None:
    assert READ_SUFFIXES is SUFFIXES
    assert {".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".feather"} < set(SUFFIXES)
    assert {".jsonl.gz", ".csv.zst", ".jsonl.xz", ".json.bz2", ".zip"} < set(SUFFIXES)
    assert {".jl", ".jsonlines", ".pq", ".jl.gz"} < set(SUFFIXES)
    assert ".parquet.gz" not in SUFFIXES


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.NDJSON", "rows.json", "rows.v2.Jsonl.GZ"])
def test_suffixes_in_any_case(read: Read, name: str) -> None:
    assert brief(read(name, gzip.compress(ROW) if name.endswith("GZ") else ROW)) == [(1, 0, {"a": 1})]


@pytest.mark.parametrize("name", ["rows.txt", "rows", "rows.jsonl.bak", "rows.xlsx", "jsonl"])
def test_unknown_suffixes_are_refused_by_name(read: Read, name: str) -> None:
    problem = only_problem(read(name, ROW))
    assert problem.code == "SQSD304"
    assert ".jsonl" in problem.message
    assert ".parquet" in problem.message


def test_a_missing_file(tmp_path: Path) -> None:
    path = str(tmp_path / "none.jsonl")
    assert list(read_rows(path)) == [
        Problem("SQSD304", Where(path, 0, -1), "no such file", "check the path", rows=0)
    ]


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(ROW)
    path.chmod(0)
    assert "permission" in only_problem(read_rows(str(path))).message


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").mkdir()
    assert "folder" in only_problem(read_rows(str(tmp_path / "rows.jsonl"))).message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    os.mkfifo(path)
    problem = only_problem(read_rows(str(path)))
    assert "not a regular file" in problem.message
    assert "standard input" in problem.hint


@pytest.mark.parametrize("path", ["a\x00.jsonl", "\ud800.jsonl"])
def test_paths_that_are_none(path: str) -> None:
    assert only_problem(read_rows(path)).code == "SQSD304"


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet", ".arrow", ".jsonl.gz"])
def test_git_lfs_pointers(read: Read, suffix: str) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    problem = only_problem(read(f"rows{suffix}", pointer))
    assert problem.code == "SQSD304"
    assert "Git LFS" in problem.message
    assert problem.hint.startswith("git lfs pull")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.jsonl.gz"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_other_encodings_are_named(read: Read, name: str, encoding: str) -> None:
    data = '{"a": "é"}\n'.encode(encoding)
    problem = only_problem(read(name, gzip.compress(data) if name.endswith("gz") else data))
    assert problem.code == "SQSD304"
    assert encoding.upper() in problem.message
    assert "iconv" in problem.hint


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (gzip.compress(ROW), ".gz"),
        (PACK["zst"](ROW), ".zst"),
        (b"PAR1....", ".parquet"),
        (b"ARROW1..", ".arrow"),
    ],
)
def test_other_formats_under_a_text_suffix_are_named(read: Read, data: bytes, word: str) -> None:
    assert word in only_problem(read("rows.jsonl", data)).hint


def test_file_size(read: Read) -> None:
    assert len(read("rows.jsonl", ROW * 10, limits=Limits(max_file_bytes=90))) == 10
    problem = only_problem(read("rows.jsonl", ROW * 10 + b"\n", limits=Limits(max_file_bytes=90)))
    assert "max_file_bytes (90 bytes)" in problem.message


class Dribble(io.RawIOBase):
    """A pipe whose writer hands over one byte at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data, self._data = self._data[:1], self._data[1:]
        return data


@pytest.mark.parametrize("stream", [io.BytesIO, Dribble, lambda data: io.BufferedReader(io.BytesIO(data))])
def test_standard_input(stream: type[io.BytesIO]) -> None:
    items = list(read_rows("-", stdin=stream(ROW + b"\n{\n")))
    assert brief(items) == [(1, 0, {"a": 1}), (3, 1, "SQSD303")]
    assert {item.where.file for item in items} == {"<stdin>"}
    lfs = stream(b"version https://git-lfs.github.com/spec/v1\n")
    assert "Git LFS" in only_problem(read_rows("-", stdin=lfs)).message


def test_formats_of_standard_input() -> None:
    assert brief(read_rows("-", stdin=io.BytesIO(b"a\n1\n"), stdin_format="csv")) == [(2, 0, {"a": "1"})]
    packed = io.BytesIO(gzip.compress(ROW))
    assert brief(read_rows("-", stdin=packed, stdin_format="jsonl.gz")) == [(1, 0, {"a": 1})]
    assert only_problem(read_rows("-", stdin=io.BytesIO(), stdin_format="xml")).where.file == "<stdin>"


def test_standard_input_has_a_size_limit() -> None:
    items = list(read_rows("-", stdin=Dribble(ROW * 300), limits=Limits(max_file_bytes=900)))  # type: ignore[arg-type]
    assert len(items) > 1
    assert only_problem(items[-1:]).code == "SQSD304"


def test_standard_input_stays_open() -> None:
    stdin = io.BytesIO(ROW)
    list(read_rows("-", stdin=stdin))
    assert not stdin.closed


def test_the_process_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ROW)))
    assert brief(read_rows("-")) == [(1, 0, {"a": 1})]


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize(("suffix", "data"), [(".jsonl", ROW), (".json", b'[{"a": 1}]'), (".csv", b"a\n1\n")])
def test_compressed_files(read: Read, kind: str, suffix: str, data: bytes) -> None:
    items = read(f"rows{suffix}.{kind}", PACK[kind](data))
    assert [str(raw["a"]) for _, _, raw in brief(items)] == ["1"]


@pytest.mark.parametrize("kind", PACK)
def test_several_members_are_one_stream(read: Read, kind: str) -> None:
    assert len(read(f"rows.jsonl.{kind}", PACK[kind](ROW * 3) + PACK[kind](b"") + PACK[kind](ROW * 4))) == 7


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_a_cut_off_file_is_read_up_to_the_cut(read: Read, kind: str, suffix: str) -> None:
    noise = [b'{"a": "%s"}' % os.urandom(60).hex().encode() for _ in range(20_000)]
    data = b"\n".join(noise) if suffix == ".jsonl" else b"[" + b",\n".join(noise) + b"]"
    packed = PACK[kind](data)
    items = read(f"rows{suffix}.{kind}", packed[: len(packed) * 3 // 4])
    assert 10_000 < len(items) < 16_000
    assert only_problem(items).code == "SQSD304"
    assert "cut off" in only_problem(items[-1:]).message


@pytest.mark.parametrize("kind", PACK)
def test_a_small_cut_off_file(read: Read, kind: str) -> None:
    packed = PACK[kind](ROW * 3)
    assert brief(read(f"rows.jsonl.{kind}", packed[:-2]))[-1] == (0, -1, "SQSD304")
    assert brief(read(f"rows.jsonl.{kind}", packed[:3])) == [(0, -1, "SQSD304")]


@pytest.mark.parametrize("kind", PACK)
def test_what_is_not_compressed(read: Read, kind: str) -> None:
    for data in (b"", ROW, PACK[kind](ROW) + b"garbage" * 9):
        assert brief(read(f"rows.jsonl.{kind}", data))[-1][2] == "SQSD304"


def test_a_flipped_bit_is_noticed(read: Read) -> None:
    packed = bytearray(gzip.compress(ROW * 1000))
    packed[len(packed) // 2] ^= 0xFF
    assert brief(read("rows.jsonl.gz", bytes(packed)))[-1][2] == "SQSD304"


@pytest.mark.parametrize("kind", PACK)
def test_bombs_are_left_folded(read: Read, kind: str) -> None:
    bomb = PACK[kind]((b" " * 999 + b"\n") * 8000)
    limit = only_problem(read(f"rows.jsonl.{kind}", bomb, limits=Limits(max_ratio=100)))
    assert "max_ratio (100)" in limit.message
    limit = only_problem(read(f"rows.jsonl.{kind}", bomb, limits=Limits(max_decompressed_bytes=2**20)))
    assert "max_decompressed_bytes (1 MiB)" in limit.message
