"""Golden files: what a format is expected to print. UPDATE_GOLDEN=1 writes them anew, for review."""

from __future__ import annotations

import io
import os
from pathlib import Path

from sqsd_lint.report import Options, write
from sqsd_lint.types import Report

FOLDER = Path(__file__).parent / "golden"


def render(report: Report, format: str = "text", options: Options | None = None) -> str:
    """A report as a string, without colour."""
    stream = io.StringIO()
    write(report, format, stream, options)
    return stream.getvalue()


def assert_golden(name: str, actual: str) -> None:
    path = FOLDER / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_bytes(actual.encode("utf-8"))
    assert actual == path.read_bytes().decode("utf-8"), f"differs from {path}; UPDATE_GOLDEN=1 rewrites it"
