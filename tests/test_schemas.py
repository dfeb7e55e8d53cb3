"""The published JSON Schemas are those of the models, and every part of them is described."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from sqsd_lint.common.json_schema import schema_text
from sqsd_lint.resources import schema_path
from tests.schemas import SCHEMAS


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_schema_is_not_stale(name: str) -> None:
    published = schema_path(name).read_text(encoding="utf-8")
    assert published == schema_text(SCHEMAS[name]()), "write them anew: python -m tests.schemas"


@pytest.mark.parametrize("name", SCHEMAS)
def test_it_is_a_schema_with_a_description_of_what_it_is(name: str) -> None:
    schema = json.loads(schema_path(name).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    assert schema["description"].endswith(".")
    assert all(part["description"].endswith(".") for part in schema.get("$defs", {}).values())
