from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder: nothing outside of it may be fixed."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
