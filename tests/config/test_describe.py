from __future__ import annotations

import json
from pathlib import Path

from sqsd_lint.config import load_settings
from sqsd_lint.config.describe import describe
from sqsd_lint.resources import load_schema


def test_every_key_of_the_schema_is_described_in_its_order(tmp_path: Path) -> None:
    described = describe(load_settings({}, isolated=True, cwd=tmp_path, environ={}))
    assert [each.key for each in described] == [
        key for key in load_schema("config")["properties"] if key not in ("$schema", "extend")
    ]
    assert all(each.is_default for each in described)
    defaults = {
        key: sub["default"] for key, sub in load_schema("config")["properties"].items() if "default" in sub
    }
    assert {each.key: each.value for each in described if each.key in defaults} == defaults


def test_values_are_of_the_types_that_json_knows(tmp_path: Path) -> None:
    (tmp_path / "sqsd-lint.toml").write_text(
        'select = ["SQSD1"]\n[columns]\nprompt = "q"\n[per-file-ignores]\n"a/*" = ["SQSD102"]\n',
        encoding="utf-8",
    )
    described = describe(load_settings({}, cwd=tmp_path, environ={"SQSD_LINT_PER_FILE_IGNORES": ""}))
    values = {each.key: each.value for each in described}
    assert values == json.loads(json.dumps(values))
    assert values["per-file-ignores"] == {"a/*": ["SQSD102"]}
    assert {each.origin for each in described} == {"default", "sqsd-lint.toml"}
