"""The footer of a Parquet file is read as pyarrow reads it, and a damaged one never ends the process."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from sqsd_lint.read.parquet_pages import Column, read_footer
from tests.read.test_any_bytes import TABLES

pq = pytest.importorskip("pyarrow.parquet")

PARQUET = [name for name in TABLES if name.endswith(".parquet")]


@pytest.mark.parametrize("name", PARQUET)
def test_the_footer_says_what_pyarrow_says(name: str) -> None:
    footer = pq.ParquetFile(io.BytesIO(TABLES[name])).metadata
    expected = []
    for i in range(footer.num_row_groups):
        columns = [footer.row_group(i).column(j) for j in range(footer.num_columns)]
        expected.append(
            [
                Column(
                    column.dictionary_page_offset or column.data_page_offset,
                    column.total_compressed_size,
                    column.total_uncompressed_size,
                    column.num_values,
                )
                for column in columns
            ]
        )
    assert read_footer(io.BytesIO(TABLES[name])) == expected


DAMAGE = """
import sys
from pathlib import Path
from sqsd_lint.read import read_rows
from sqsd_lint.types import Problem
path, begin = Path(sys.argv[1]), int(sys.argv[2])
whole = path.read_bytes()
copy, codes = path.with_name("damaged.parquet"), set()
for at in range(begin, len(whole)):
    if whole[at] == 2:
        copy.write_bytes(whole[:at] + bytes(1) + whole[at + 1 :])
        codes |= {item.code for item in read_rows(str(copy)) if isinstance(item, Problem)}
print(sorted(codes))
"""


@pytest.mark.parametrize("name", PARQUET)
def test_no_damaged_footer_ends_the_process(name: str, tmp_path: Path) -> None:
    """In a process of its own: pyarrow aborts where it is asked for a column with damaged statistics.

    2 is how Thrift writes 1, the number of OPTIONAL: without it, levels have other statistics than they may.
    """
    data = TABLES[name]
    (tmp_path / name).write_bytes(data)
    begin = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    command = [sys.executable, "-c", DAMAGE, str(tmp_path / name), str(begin)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.strip()) == (0, "['SQSD304']"), done.stderr[-2000:]
