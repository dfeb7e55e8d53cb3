"""Rows of formats and shapes beside the plain ones: moved byte for byte, or left with a reason."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import zipfile
from pathlib import Path

import pytest

from sqsd_lint.fix import apply, plan
from tests.fix.risky import fix, raws, violations

ROWS = [{"prompt": f"p{n}", "completion": f"c{n}"} for n in range(4)]
LINES = [json.dumps(row).encode() + b"\n" for row in ROWS]
PRETTY = [json.dumps(row, indent=1).encode() for row in ROWS]


@pytest.mark.parametrize("name", ["a.jsonl.xz", "a.jl.bz2", "a.jsonlines", "a.jl"])
def test_lines(here: Path, name: str) -> None:
    packs = {".xz": (lzma.compress, lzma.decompress), ".bz2": (bz2.compress, bz2.decompress)}
    pack, unpack = packs.get(Path(name).suffix, (bytes, bytes))
    Path(name).write_bytes(pack(b"".join(LINES)))
    fix(name, [1, 3])
    assert unpack(Path(name).read_bytes()) == LINES[0] + LINES[2]
    shelf = name.replace("a.", "a.quarantine.")
    assert unpack(Path(shelf).read_bytes()) == LINES[1] + LINES[3]


def test_pq(here: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS), "a.pq")
    fix("a.pq", [2])
    assert raws("a.pq") == [ROWS[n] for n in (0, 1, 3)]
    assert raws("a.quarantine.pq") == [ROWS[2]]


def test_csv_with_a_line_that_names_the_separator(here: Path) -> None:
    head = b"\xef\xbb\xbfsep=;\r\nprompt;completion\r\n"
    Path("a.csv").write_bytes(head + b"a;b\r\nc;d\r\ne;f\r\n")
    fix("a.csv", [1])
    fix("a.csv", [0])
    assert Path("a.csv").read_bytes() == head + b"e;f\r\n"
    assert Path("a.quarantine.csv").read_bytes() == head + b"c;d\r\na;b\r\n"


def test_csv_whose_lines_end_in_cr(here: Path) -> None:
    Path("a.csv").write_bytes(b"prompt,completion\ra,b\rc,d")
    fix("a.csv", [1])
    fix("a.csv", [0])
    assert Path("a.csv").read_bytes() == b"prompt,completion\r"
    assert Path("a.quarantine.csv").read_bytes() == b"prompt,completion\rc,d\ra,b\r"


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_objects_one_after_another(here: Path, name: str) -> None:
    Path(name).write_bytes(b"\n".join(PRETTY) + b"\n")
    fix(name, [1, 2])
    assert Path(name).read_bytes() == PRETTY[0] + b"\n" + PRETTY[3] + b"\n"
    shelf = name.replace("a.", "a.quarantine.")
    assert raws(shelf) == ROWS[1:3]
    fix(name, [1])
    assert (raws(name), raws(shelf)) == (ROWS[:1], [ROWS[1], ROWS[2], ROWS[3]])


def test_an_array_under_the_name_of_json_lines(here: Path) -> None:
    Path("a.jsonl").write_bytes(b"[" + b",\n".join(PRETTY) + b"]\n")
    fix("a.jsonl", [0, 3])
    assert Path("a.jsonl").read_bytes() == b"[" + PRETTY[1] + b",\n" + PRETTY[2] + b"]\n"
    assert raws("a.quarantine.jsonl") == [ROWS[0], ROWS[3]]


def test_arrays_under_several_keys_keep_their_ends(here: Path) -> None:
    data = b'{"train": [%b, %b], "n": 1, "test": [%b , %b ]}' % tuple(PRETTY)
    Path("a.json").write_bytes(data)
    fix("a.json", [1, 2])
    assert Path("a.json").read_bytes() == b'{"train": [%b], "n": 1, "test": [%b ]}' % (PRETTY[0], PRETTY[3])


TABLES = [
    {name: {str(n): row[name] for n, row in enumerate(ROWS)} for name in ROWS[0]},
    {str(n): row for n, row in enumerate(ROWS)},
    {name: [row[name] for row in ROWS] for name in ROWS[0]},
]


@pytest.mark.parametrize("table", TABLES, ids=["columns", "index", "list"])
def test_rows_of_a_table_are_left_with_a_reason(here: Path, table: object) -> None:
    Path("a.json").write_text(json.dumps(table))
    made = plan(violations("a.json", [1]))
    assert made.files == ()
    assert "no pieces of the file" in made.left[0].reason


def test_rows_in_an_archive_are_left_with_a_reason(here: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.jsonl", b"".join(LINES))
    Path("a.zip").write_bytes(out.getvalue())
    made = plan(violations("a.zip", [1]))
    assert "unpack it" in made.left[0].reason
    assert list(apply(made)) == []
    assert Path("a.zip").read_bytes() == out.getvalue()
