from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.errors import SqsdLintError
from sqsd_lint.fix import apply, plan
from tests.fix.risky import fix, raws, violations

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

ROWS = [
    {
        "messages": [{"role": "user", "content": f"u{n}"}, {"role": "assistant", "content": "ü" * (n + 1)}],
        "n": n,
        "day": datetime.date(2024, 1, 1 + n % 28),
        "kind": ("even", "odd")[n % 2],
        "none": None,
    }
    for n in range(20)
]
SCHEMA = pa.schema(
    [
        pa.field("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.large_string())]))),
        pa.field("n", pa.uint32(), nullable=False, metadata={"unit": "rows"}),
        pa.field("day", pa.date32()),
        pa.field("kind", pa.dictionary(pa.int8(), pa.string())),
        pa.field("none", pa.string()),
    ],
    metadata={"huggingface": '{"info": {}}', "note": "ü"},
)
TABLE = pa.Table.from_pylist(ROWS, schema=SCHEMA)
MOVED = [2, 5, 6, 7, 8, 9, 19]
STAY = [n for n in range(20) if n not in MOVED]

PARQUET = {
    "plain": {"compression": "none", "use_dictionary": False, "write_statistics": False},
    "mixed": {
        "compression": {"n": "zstd", "messages.list.element.role": "gzip", "kind": "lz4", "day": "brotli"},
        "use_dictionary": ["kind", "messages.list.element.role"],
        "write_statistics": ["n"],
        "write_page_index": True,
        "column_encoding": {"n": "DELTA_BINARY_PACKED"},
        "sorting_columns": [pq.SortingColumn(1)],
    },
    "old": {"version": "1.0", "use_compliant_nested_type": False},
    "2.4": {"version": "2.4"},
    "foreign": {"store_schema": False},
}


@pytest.mark.parametrize("options", PARQUET.values(), ids=PARQUET.keys())
def test_parquet_keeps_all_but_the_rows(here: Path, options: dict[str, Any]) -> None:
    pq.write_table(TABLE, "a.parquet", row_group_size=5, **options)
    before = pq.ParquetFile("a.parquet")
    (moved,) = fix("a.parquet", MOVED)
    for name, rows, sizes in (("a.parquet", STAY, [4, 5, 4]), ("a.quarantine.parquet", MOVED, [1, 5, 1])):
        after = pq.ParquetFile(name)
        assert raws(name) == [ROWS[n] for n in rows]
        assert after.schema_arrow.equals(before.schema_arrow, check_metadata=True)
        assert str(after.schema).split("\n", 1)[1] == str(before.schema).split("\n", 1)[1]
        assert after.metadata.metadata == before.metadata.metadata
        assert after.metadata.format_version == before.metadata.format_version
        groups = [after.metadata.row_group(i) for i in range(after.num_row_groups)]
        assert [group.num_rows for group in groups] == sizes
        for group in groups:
            assert group.sorting_columns == before.metadata.row_group(0).sorting_columns
            assert [_traits(group.column(i)) for i in range(group.num_columns)] == [
                _traits(before.metadata.row_group(0).column(i)) for i in range(group.num_columns)
            ]
    assert (moved.rows, moved.added) == (7, 7)


def _traits(column: Any) -> tuple[Any, ...]:
    return (
        column.path_in_schema,
        column.compression,
        set(column.encodings),
        column.is_stats_set,
        column.has_dictionary_page,
        column.has_column_index,
    )


def to_stream(path: str, **options: Any) -> None:
    with (
        pa.OSFile(path, "wb") as sink,
        pa.ipc.new_stream(sink, SCHEMA, options=pa.ipc.IpcWriteOptions(**options)) as out,
    ):
        _write(out)


def to_file(path: str, **options: Any) -> None:
    options = {"options": pa.ipc.IpcWriteOptions(**options)}
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, SCHEMA, **options) as out:
        _write(out)


def _write(out: Any) -> None:
    for number, batch in enumerate(TABLE.to_batches(max_chunksize=5)):
        out.write_batch(batch, custom_metadata={"batch": str(number)})


def batches(path: str) -> list[tuple[int, Any]]:
    """(rows, custom metadata) of each batch."""
    data = pa.memory_map(path)
    if path.endswith(".stream.arrow"):
        reader = pa.ipc.open_stream(data)
        found = []
        while True:
            try:
                found.append(reader.read_next_batch_with_custom_metadata())
            except StopIteration:
                break
    else:
        file = pa.ipc.open_file(data)
        found = [file.get_batch_with_custom_metadata(n) for n in range(file.num_record_batches)]
    return [(batch.num_rows, dict(custom) if custom else None) for batch, custom in found]


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize(("write", "name"), [(to_stream, "a.stream.arrow"), (to_file, "a.arrow")])
def test_arrow_keeps_all_but_the_rows(
    here: Path, write: Callable[..., None], name: str, compression: str | None
) -> None:
    write(name, compression=compression)
    whole = Path(name).read_bytes()
    shelf = name.replace(".arrow", ".quarantine.arrow")
    fix(name, MOVED)
    assert raws(name) == [ROWS[n] for n in STAY]
    assert raws(shelf) == [ROWS[n] for n in MOVED]
    opened = pa.ipc.open_stream if "stream" in name else pa.ipc.open_file
    for path in (name, shelf):
        assert opened(pa.memory_map(path)).schema.equals(SCHEMA, check_metadata=True)
    assert batches(name) == [(n, {b"batch": b"%d" % i}) for i, n in ((0, 4), (2, 5), (3, 4))]
    # Nothing moved, nothing changed: what is kept is kept to the byte.
    write(name, compression=compression)
    assert Path(name).read_bytes() == whole


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_the_compression_of_arrow_is_found(here: Path, compression: str | None) -> None:
    from sqsd_lint.fix.columnar import ArrowFile

    for write, name in ((to_stream, "a.stream.arrow"), (to_file, "a.arrow")):
        write(name, compression=compression)
        with open(name, "rb") as old, open("copy", "wb") as new:
            source = ArrowFile(old)
            writer = source.writer(new)
            for batch, custom in source.pieces():
                writer.write(batch, custom)
            writer.close()
        assert Path("copy").read_bytes() == Path(name).read_bytes()


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.feather"])
def test_rows_join_those_that_are_there(here: Path, name: str) -> None:
    pq.write_table(TABLE, name) if name == "a.parquet" else to_file(name)
    fix(name, [3, 4])
    fix(name, [0, 17])  # 0 and 19 of the whole
    assert raws(name.replace(".", ".quarantine.")) == [ROWS[n] for n in (3, 4, 0, 19)]
    assert raws(name) == [ROWS[n] for n in range(20) if n not in (0, 3, 4, 19)]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_all_rows_may_move(here: Path, name: str) -> None:
    pq.write_table(TABLE, name) if name == "a.parquet" else to_file(name)
    fix(name, range(20))
    assert raws(name) == []
    assert raws(name.replace(".", ".quarantine.")) == ROWS


def test_other_columns_are_refused(here: Path) -> None:
    pq.write_table(TABLE, "a.parquet")
    pq.write_table(TABLE.drop_columns(["n"]), "a.quarantine.parquet")
    whole = Path("a.parquet").read_bytes()
    with pytest.raises(SqsdLintError, match=r"a\.parquet: not fixed: .* other columns"):
        fix("a.parquet", [1])
    assert Path("a.parquet").read_bytes() == whole


def test_int96_and_nanoseconds_lose_nothing(here: Path) -> None:
    at = pa.array([1_700_000_000_123_456_000 + n for n in (0, 1000, 2000)], pa.timestamp("ns"))
    table = pa.table({"prompt": ["a", "b", "c"], "completion": ["x", "y", "z"], "at": at})
    for options in ({"use_deprecated_int96_timestamps": True}, {"version": "2.6"}):
        pq.write_table(table, "a.parquet", **options)
        before = pq.ParquetFile("a.parquet").schema
        fix("a.parquet", [1])
        assert pq.ParquetFile("a.parquet").schema.equals(before)
        assert pq.read_table("a.parquet").equals(table.take([0, 2]))
        Path("a.quarantine.parquet").unlink()


def test_a_damaged_row_is_left_with_its_file(here: Path) -> None:
    words = pa.array([b"good", b"\xff\xfe", b"fine"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"prompt": ["a", "b", "c"], "completion": words}), "a.parquet")
    whole = Path("a.parquet").read_bytes()
    made = plan(violations("a.parquet", [2]))
    assert made.files == ()
    assert "row 2 cannot be read" in made.left[0].reason
    assert list(apply(made)) == []
    assert Path("a.parquet").read_bytes() == whole


def test_what_datasets_saves(here: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(ROWS[:6]).save_to_disk("saved")
    (path,) = Path("saved").glob("*.arrow")
    fix(path, [1, 4])
    assert datasets.Dataset.from_file(str(path)).to_list() == [ROWS[n] for n in (0, 2, 3, 5)]
