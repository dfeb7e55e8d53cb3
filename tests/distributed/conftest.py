"""A tiny bundle, data of two formats to score with it, and the command as a process."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from sqsd_lint.config import Settings

Run = Callable[..., Settings]

ROWS = [
    {"question": f"What is {i} and {i}?", "answer": f"It is {'so ' * (i % 7)}{2 * i}."} for i in range(60)
]


def digests(folder: Path) -> dict[str, str]:
    """The finished shards of a folder of scores: name and digest of each."""
    files = (folder / "shards").glob("*.parquet")
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """40 rows and two faults as JSON Lines, 20 as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "data"
    folder.mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in ROWS[:40])
    (folder / "a.jsonl").write_text(lines + '{broken\n\n{"question": "q", "answer": ""}\n')
    pq.write_table(pa.Table.from_pylist(ROWS[40:]), folder / "b.parquet", row_group_size=5)
    return folder


@pytest.fixture
def run(tiny_run: Run, data: Path) -> Run:
    return partial(tiny_run, data)


@pytest.fixture
def command(
    tiny_bundle: Path, tiny_model_folder: Path, data: Path, tmp_path: Path
) -> Callable[..., list[str]]:
    """`sqsd-lint NAME DATA` with the tiny bundle, as arguments of a process."""

    def arguments(name: str, *more: str) -> list[str]:
        return [
            *(sys.executable, "-m", "sqsd_lint", name, str(data), "--isolated"),
            *("--bundle", str(tiny_bundle), "--model", str(tiny_model_folder)),
            *("--device", "cpu", "--dtype", "float32", "--cache-dir", str(tmp_path / "cache"), *more),
        ]

    return arguments


def finish(command: list[str], code: int) -> str:
    """Run a process to its end and return what it said on standard error."""
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr
