from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.read import read_rows
from sqsd_lint.types import Problem, Row

Read = Callable[..., list[Row | Problem]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Writes bytes to a file of this name and reads it, with `read_rows`' options."""

    def read(name: str, data: bytes | str, **options: Any) -> list[Row | Problem]:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return list(read_rows(str(path), **options))

    return read
