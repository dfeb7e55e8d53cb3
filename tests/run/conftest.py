"""Settings of a run with a tiny bundle, and a file of rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sqsd_lint.config import Settings

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
def tiny_run(tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path) -> Callable[..., Settings]:
    """Settings with an uncalibrated tiny bundle on the CPU, and thresholds that no row reaches."""
    base = Settings(
        bundle=str(tiny_bundle),
        model=str(tiny_model_folder),
        device="cpu",
        dtype="float32",
        threshold="1000",
        warning_threshold="999",
        cache_dir=str(tmp_path / "cache"),
    )

    def settings(*paths: Path, **changes: object) -> Settings:
        return replace(base, paths=tuple(map(str, paths)), **changes)  # type: ignore[arg-type]

    return settings


@pytest.fixture
def bundle_copy(tiny_bundle: Path, tmp_path: Path) -> str:
    """A copy of the tiny bundle that a test may change."""
    return str(shutil.copytree(tiny_bundle, tmp_path / "copy"))
