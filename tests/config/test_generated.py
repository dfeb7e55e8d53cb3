"""What `make generated` writes is in the repository as it would be written now."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.common.schema import validate
from sqsd_lint.config import TABLE
from sqsd_lint.resources import load_schema

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]


def generate() -> Any:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["rules/schemas/config.schema.json", "docs/settings.md"])
def test_generated_files_are_up_to_date(name: str) -> None:
    files = generate().generated()
    assert (ROOT / name).read_text(encoding="utf-8") == files[ROOT / name], "run `make generated`"


def test_the_published_schema_is_the_table_s() -> None:
    properties = load_schema("config")["properties"]
    assert list(properties) == ["$schema", "extend", *TABLE.by_key]


def test_examples_of_the_reference_are_valid_configuration() -> None:
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == sum(bool(each.examples) for each in TABLE.by_key.values())
    for block in blocks:
        validate(tomllib.loads(block), "config", source="docs/settings.md")


def test_every_example_in_the_schema_holds() -> None:
    for key, schema in load_schema("config")["properties"].items():
        for example in schema.get("examples", ()):
            validate({key: example}, "config", source=key)
        if "default" in schema:
            validate({key: schema["default"]}, "config", source=key)
