"""The page of layouts says what the table says."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "layouts.py"


def test_the_page_is_what_the_table_makes() -> None:
    if not SCRIPT.is_file():
        pytest.skip("docs/ is not beside the tests")
    made = runpy.run_path(str(SCRIPT))["render"]()
    page = SCRIPT.with_suffix(".md").read_text(encoding="utf-8")
    assert page == made, "docs/layouts.md is stale: run `python docs/layouts.py`"
