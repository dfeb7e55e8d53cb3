"""Whatever a file holds, reading and converting it yields rows and problems, and raises nothing."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tracemalloc
import zipfile
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sqsd_lint.discover import SUFFIXES
from sqsd_lint.read import Limits
from sqsd_lint.samples import to_sample
from sqsd_lint.types import Problem, Row, Sample
from tests.read.conftest import Read

TOKENS = st.sampled_from(
    b'{|}|[|]|"|:|,|\\|\\ud800|1e9|NaN|-|tru|"messages"|"role"|"user"|"content"|"data"|"text"|\n|\0'
    b"|\xff|\xc3|\xef\xbb\xbf".split(b"|")
)
DATA = st.binary(max_size=200) | st.lists(TOKENS, max_size=40).map(b"".join)
TIGHT = Limits(max_line_bytes=40, max_depth=3, max_file_bytes=500, max_decompressed_bytes=300)


PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": partial(lzma.compress, preset=0)}
PEAK = 8 * 2**20
"""Bytes of memory that a file of a few hundred bytes may cost, buffers included."""


@pytest.mark.parametrize(
    "suffix", [s for s in SUFFIXES if not s.startswith((".ndjson.", ".jl.", ".jsonlines."))]
)
@settings(max_examples=40)
@given(data=DATA, packed=st.booleans(), tight=st.booleans())
@example(data=b"", packed=True, tight=False)
def test_any_bytes(read: Read, suffix: str, data: bytes, packed: bool, tight: bool) -> None:
    for end, pack in PACK.items():
        if suffix.endswith(end) and packed:
            data = pack(data)
    limits = TIGHT if tight else Limits()
    tracemalloc.start()
    try:
        items = read(f"rows{suffix}", data, limits=limits)
        assert tracemalloc.get_traced_memory()[1] < PEAK
    finally:
        tracemalloc.stop()
    indices = [item.where.index for item in items if item.where.index >= 0]
    assert indices == list(range(len(indices)))
    for item in items:
        assert isinstance(item, Row | Problem)
        if isinstance(item, Row):
            assert isinstance(to_sample(item), Sample | Problem)
        else:
            assert item.code in ("SQSD303", "SQSD304")
            assert item.message
            (item.message + item.hint + item.excerpt).encode("utf-8")  # a report can print it


def tables() -> dict[str, bytes]:
    """Small files of every binary format, to damage."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    words = pa.array(["a", "bb", None, "ü"] * 5)
    table = pa.table(
        {
            "text": words,
            "kind": words.dictionary_encode(),
            "messages": pa.array([[{"role": "user", "content": "x"}], [], None, [{"role": "y"}]] * 5),
        }
    )
    made: dict[str, bytes] = {}
    for version in ("1.0", "2.0"):
        out = io.BytesIO()
        pq.write_table(table, out, data_page_version=version, row_group_size=7)
        made[f"{version}.parquet"] = out.getvalue()
    for name, new in (("file", pa.ipc.new_file), ("stream", pa.ipc.new_stream)):
        out = io.BytesIO()
        with new(out, table.schema) as writer:
            writer.write_table(table, max_chunksize=6)
        made[f"{name}.arrow"] = out.getvalue()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", '{"text": "x"}\n' * 9)
        archive.writestr("b.parquet", made["1.0.parquet"])
    return {**made, "rows.zip": out.getvalue()}


TABLES = tables()
ARROW = 80 * 2**20


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=120)
@given(changes=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_tables_cost_no_more_than_the_bound(read: Read, name: str, changes: Any) -> None:
    import pyarrow as pa

    data = bytearray(TABLES[name])
    for at, byte in changes:
        data[at % len(data)] = byte
    before = pa.default_memory_pool()
    POOLS.append(pa.proxy_memory_pool(pa.system_memory_pool()))
    pa.set_memory_pool(POOLS[-1])
    try:
        items = read(name, bytes(data))
    finally:
        pa.set_memory_pool(before)
    assert POOLS[-1].max_memory() < ARROW
    for item in items:
        assert isinstance(item, Row) or item.code in ("SQSD303", "SQSD304")


POOLS: list[Any] = []  # what a pool has allocated may be freed later than the test ends
