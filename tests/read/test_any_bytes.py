"""Whatever a file holds, reading and converting it yields rows and problems, and raises nothing."""

from __future__ import annotations

import gzip

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


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=50)
@given(data=DATA, packed=st.booleans(), tight=st.booleans())
@example(data=b"", packed=True, tight=False)
def test_any_bytes(read: Read, suffix: str, data: bytes, packed: bool, tight: bool) -> None:
    if suffix.endswith(".gz") and packed:
        data = gzip.compress(data)
    limits = TIGHT if tight else Limits()
    items = read(f"rows{suffix}", data, limits=limits)
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
