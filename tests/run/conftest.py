"""Settings of a run with a tiny bundle, and a file of rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

ROWS = [{"question": f"What is {i} and {i}?", "answer": f"It is {'so ' * (i % 3)}{2 * i}."} for i in range(8)]


def write(path: Path, *rows: object) -> Path:
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    """Eight rows."""
    return write(tmp_path / "rows.jsonl", *ROWS)


@pytest.fixture
def bundle_copy(tiny_bundle: Path, tmp_path: Path) -> str:
    """A copy of the tiny bundle that a test may change."""
    return str(shutil.copytree(tiny_bundle, tmp_path / "copy"))
