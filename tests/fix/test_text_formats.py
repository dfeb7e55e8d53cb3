from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sqsd_lint.fix import Moved
from tests.fix.risky import fix, raws

BOM = b"\xef\xbb\xbf"

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.decompress,
    ".zst": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


def row(n: int) -> bytes:
    return json.dumps(
        {"prompt": f"p{n}", "completion": "ü€😀"[: n % 4] + f"c{n}"}, ensure_ascii=n % 2 == 0
    ).encode()


def fixed(folder: Path, name: str, data: bytes, indices: list[int]) -> tuple[bytes, bytes]:
    """The content of the file and of its quarantine file after the rows have moved, decompressed."""
    packing = next((end for end in (".gz", ".zst") if name.endswith(end)), "")
    path = folder / name
    path.write_bytes(PACK[packing](data))
    (moved,) = fix(name, indices)
    assert moved.rows == len(indices)
    assert not list(folder.glob(".*"))
    return UNPACK[packing](path.read_bytes()), UNPACK[packing]((folder / moved.quarantine).read_bytes())


@pytest.mark.parametrize("packing", PACK)
def test_json_lines(here: Path, packing: str) -> None:
    data = BOM + row(0) + b"\r\n\r\n" + b"{broken\n" + row(2) + b"  \n" + row(3)
    kept, taken = fixed(here, f"a.jsonl{packing}", data, [2, 3])
    assert kept == BOM + row(0) + b"\r\n\r\n" + b"{broken\n"
    assert taken == BOM + row(2) + b"  \n" + row(3)
    assert (here / f"a.quarantine.jsonl{packing}").exists()


def test_a_last_row_without_newline_gets_one_only_when_another_follows(here: Path) -> None:
    path = here / "a.jsonl"
    path.write_bytes(row(0) + b"\r\n" + row(1))
    fix("a.jsonl", [1])
    shelf = here / "a.quarantine.jsonl"
    assert shelf.read_bytes() == row(1)
    fix("a.jsonl", [0])
    assert shelf.read_bytes() == row(1) + b"\r\n" + row(0) + b"\r\n"
    assert path.read_bytes() == b""


@pytest.mark.parametrize("packing", PACK)
def test_csv_with_quoted_newlines(here: Path, packing: str) -> None:
    header = b'prompt,"comp\nletion",completion\r\n'
    records = [b'a,b,"one\r\n\r\n two, ""three"""\r\n', b'b,c,"plain"\n', b'c,"\n",\xc3\xbc\r\n', b"d,e,f"]
    data = BOM + b"\n" + header + b"\r\n".join([records[0], b"", records[1]]) + records[2] + records[3]
    kept, taken = fixed(here, f"a.csv{packing}", data, [0, 3])
    assert kept == BOM + b"\n" + header + b"\r\n\r\n" + records[1] + records[2]
    assert taken == BOM + header + records[0] + records[3]
    path = here / f"a.csv{packing}"
    assert len(raws(path)) == 2
    fix(path.name, [1])
    unpacked = UNPACK[packing]((here / f"a.quarantine.csv{packing}").read_bytes())
    assert unpacked == BOM + header + records[0] + records[3] + b"\n" + records[2]


def test_tsv(here: Path) -> None:
    kept, taken = fixed(here, "a.TSV", b"prompt\tcompletion\na\t1\nb\t2\n", [0])
    assert (kept, taken) == (b"prompt\tcompletion\nb\t2\n", b"prompt\tcompletion\na\t1\n")
    assert (here / "a.quarantine.TSV").exists()


ELEMENTS = [
    '{"prompt": "ü0", "completion": "c"}'.encode(),
    b'{"prompt": "1", "completion": "c"}',
    b'{"prompt": "2", "completion": "c"}',
]
ARRAY = b"[\n  %b,\n  %b ,\n  %b\n]\n" % tuple(ELEMENTS)


@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        ([0], b"[\n  %b ,\n  %b\n]\n" % (ELEMENTS[1], ELEMENTS[2])),
        ([1], b"[\n  %b,\n  %b\n]\n" % (ELEMENTS[0], ELEMENTS[2])),
        ([2], b"[\n  %b,\n  %b\n]\n" % (ELEMENTS[0], ELEMENTS[1])),
        ([1, 2], b"[\n  %b\n]\n" % ELEMENTS[0]),
        ([0, 1], b"[\n  %b\n]\n" % ELEMENTS[2]),
        ([0, 2], b"[\n  %b\n]\n" % ELEMENTS[1]),
        ([0, 1, 2], b"[\n  \n]\n"),
    ],
)
def test_json_array(here: Path, indices: list[int], expected: bytes) -> None:
    kept, taken = fixed(here, "a.json", ARRAY, indices)
    assert kept == expected
    assert taken == b"[\n" + b",\n".join(ELEMENTS[n] for n in indices) + b"\n]\n"


def test_rows_join_the_array_that_is_there(here: Path) -> None:
    (here / "a.quarantine.json").write_bytes(BOM + b" [ [[1], [2]] ]\r\n\t")
    _, taken = fixed(here, "a.json", ARRAY, [1])
    assert taken == BOM + b" [ [[1], [2]],\n" + ELEMENTS[1] + b" ]\r\n\t"
    (here / "a.quarantine.json").write_bytes(b"[ ]")
    _, taken = fixed(here, "a.json", ARRAY, [1])
    assert taken == b"[\n" + ELEMENTS[1] + b" ]"


def test_json_rows_under_keys(here: Path) -> None:
    train, test = b"%b, %b" % (ELEMENTS[0], ELEMENTS[1]), ELEMENTS[2]
    data = b'{"version": [1, {}], "train": [%b],\n "test": [%b]}' % (train, test)
    kept, taken = fixed(here, "a.json", data, [1, 2])
    assert kept == b'{"version": [1, {}], "train": [%b],\n "test": []}' % ELEMENTS[0]
    assert json.loads(taken) == [json.loads(ELEMENTS[1]), json.loads(ELEMENTS[2])]


def test_json_lines_under_the_name_of_json(here: Path) -> None:
    data = b"".join(row(n) + b"\n" for n in range(4))
    kept, taken = fixed(here, "a.json", data, [1])
    assert kept == row(0) + b"\n" + row(2) + b"\n" + row(3) + b"\n"
    assert json.loads(taken) == [json.loads(row(1))]
    _, taken = fixed(here, "a.json", kept, [0])
    assert json.loads(taken) == [json.loads(row(1)), json.loads(row(0))]


def test_a_row_beyond_the_reader_s_window(here: Path) -> None:
    # Characters of one to four bytes on both sides of every chunk boundary.
    texts = ["a€" * 70_000, "😀" * 90_000, "ü" * 200_001, "x"]
    rows = [json.dumps({"prompt": "p", "completion": t}, ensure_ascii=False).encode() for t in texts]
    kept, taken = fixed(here, "a.json", b"[" + b",".join(rows) + b"]", [1, 2])
    assert kept == b"[" + rows[0] + b"," + rows[3] + b"]"
    assert taken == b"[\n" + rows[1] + b",\n" + rows[2] + b"\n]\n"


LINES = st.lists(
    st.tuples(
        st.sampled_from(["row", "row", "row", "blank", "broken"]), st.sampled_from([b"\n", b"\r\n", b" \n"])
    ),
    min_size=1,
    max_size=12,
)


@given(lines=LINES, mark=st.booleans(), cut=st.booleans(), data=st.data())
def test_every_byte_of_json_lines_is_in_one_of_the_two(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[tuple[str, bytes]],
    mark: bool,
    cut: bool,
    data: st.DataObject,
) -> None:
    texts = {"blank": b"", "broken": b'{"prompt": '}
    # Twice the same row: each of them is to move.
    parts = [texts.get(kind, row(n // 2)) + end for n, (kind, end) in enumerate(lines)]
    if cut:
        parts[-1] = parts[-1].rstrip(b"\r\n ")
    numbers = [n for n, part in enumerate(parts) if part.strip()]
    rows = [(index, n) for index, n in enumerate(numbers) if lines[n][0] == "row"]
    chosen = data.draw(st.sets(st.sampled_from(rows), min_size=1)) if rows else set()
    _check_union(tmp_path_factory, "a.jsonl", BOM if mark else b"", parts, chosen)


CELLS = st.sampled_from([b"x", b'"a\nb"', b'"a\r\n\r\nb"', b'"say ""so"", ok"', b'","', "ü😀".encode()])


@given(
    records=st.lists(
        st.tuples(CELLS, CELLS, st.sampled_from([b"\n", b"\r\n"]), st.booleans()), min_size=1, max_size=8
    ),
    mark=st.booleans(),
    cut=st.booleans(),
    data=st.data(),
)
def test_every_byte_of_csv_is_in_one_of_the_two(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[tuple[bytes, bytes, bytes, bool]],
    mark: bool,
    cut: bool,
    data: st.DataObject,
) -> None:
    parts: list[bytes] = []
    numbers: list[int] = []
    for prompt, completion, end, blank in records:
        numbers.append(len(parts))
        parts.append(prompt + b"," + completion + end)
        parts += [b"\r\n"] if blank else []
    if cut:
        parts[-1] = parts[-1].rstrip(b"\r\n")
    chosen = data.draw(st.sets(st.sampled_from(list(enumerate(numbers))), min_size=1))
    _check_union(tmp_path_factory, "a.csv", (BOM if mark else b"") + b"prompt,completion\r\n", parts, chosen)


def _check_union(
    folders: pytest.TempPathFactory, name: str, head: bytes, parts: list[bytes], chosen: set[tuple[int, int]]
) -> None:
    """What moves and what stays are the parts of the file; nothing else is written but missing newlines."""
    folder = folders.mktemp("union")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        if not chosen:
            return
        out = {n for _, n in chosen}
        kept, taken = fixed(folder, name, head + b"".join(parts), [index for index, _ in chosen])
    assert kept == head + b"".join(part for n, part in enumerate(parts) if n not in out)
    moved = [part for n, part in enumerate(parts) if n in out]
    assert taken == head + b"".join(moved)


SPACE = st.sampled_from([b"", b" ", b"\n  ", b"\r\n\t"])
VALUES = st.builds(
    lambda text, more: json.dumps(
        {"prompt": text, "completion": "c", "more": more}, ensure_ascii=False
    ).encode(),
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.sampled_from([[], {}, [[1]], "]", "}", ",", 1.5]),
)


@settings(max_examples=40)
@given(
    elements=st.lists(st.tuples(SPACE, VALUES, SPACE), min_size=1, max_size=8),
    mark=st.booleans(),
    data=st.data(),
)
def test_json_keeps_its_elements_and_every_byte_between_them(
    tmp_path_factory: pytest.TempPathFactory,
    elements: list[tuple[bytes, bytes, bytes]],
    mark: bool,
    data: st.DataObject,
) -> None:
    chosen = data.draw(st.sets(st.sampled_from(range(len(elements))), min_size=1))
    content = (BOM if mark else b"") + b" [" + b",".join(b"".join(parts) for parts in elements) + b"]\n"
    folder = tmp_path_factory.mktemp("array")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        kept, taken = fixed(folder, "a.json", content, sorted(chosen))
        # Taking the rows out again one by one must come to the same.
        again = content
        for shift, n in enumerate(sorted(chosen)):
            again, _ = fixed(folder, "b.json", again, [n - shift])
    stay = [value for n, (_, value, _) in enumerate(elements) if n not in chosen]
    assert json.loads(kept.removeprefix(BOM)) == [json.loads(value) for value in stay]
    at = 0
    for value in stay:
        at = kept.index(value, at) + len(value)
    assert kept.startswith(content[: content.index(b"[") + 1 + len(elements[0][0])])
    assert kept.endswith(elements[-1][2] + b"]\n")
    assert [json.loads(v) for v in taken.removeprefix(BOM).strip()[1:-1].split(b",\n") if v.strip()] == [
        json.loads(elements[n][1]) for n in sorted(chosen)
    ]
    assert len(again) == len(kept)


def test_moved_counts(here: Path) -> None:
    (here / "a.jsonl").write_bytes(row(0) + b"\n" + row(1) + b"\n")
    assert fix("a.jsonl", [0]) == [Moved("a.jsonl", "a.quarantine.jsonl", rows=1, added=1)]
