"""Tables of settings that a test declares: what derives from a field's type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pytest
from jsonschema import Draft202012Validator

from sqsd_lint.config import TABLE, Settings, load_settings
from sqsd_lint.config.schema import config_schema
from sqsd_lint.config.table import Table, setting
from sqsd_lint.errors import ConfigError

ROWS = "Rows"


@dataclass(frozen=True, slots=True)
class More(Settings):
    """Settings of the kinds that the real table does not have yet."""

    workers: int | Literal["auto"] = setting("auto", "How many.", ROWS, metavar="N|auto", minimum=1)
    roles: Mapping[str, Literal["prompt", "response"]] = setting({}, "Roles.", ROWS, metavar="NAME=ROLE")
    parts: Mapping[str, str | Mapping[str, str]] = setting(
        {}, "Columns by file pattern.", ROWS, metavar="KEY=COLUMN", keys=("prompt", "response")
    )
    by_file: Mapping[str, Mapping[str, str]] = setting({}, "By file.", ROWS, keys=("prompt", "response"))
    folders: Mapping[str, tuple[str, ...]] = setting({}, "Folders.", ROWS, paths="always")


MORE = Table(More, vocabularies={"rules": ["SQSD101"], "unscored-rules": ["SQSD301"], "formats": ["text"]})


def load(cwd: Path, toml: str = "", env: Mapping[str, str] | None = None, **cli: Any) -> Any:
    (cwd / "sqsd-lint.toml").write_text(toml, encoding="utf-8")
    return load_settings(cli, cwd=cwd, environ=env or {}, table=MORE).settings


def refused(cwd: Path, toml: str = "", env: Mapping[str, str] | None = None, **cli: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(cwd, toml, env, **cli)
    return caught.value


def test_the_schema_says_what_the_types_say() -> None:
    schema = config_schema(MORE, MORE.vocabularies or {})
    Draft202012Validator.check_schema(schema)
    text = {"type": "string", "minLength": 1}
    table = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"prompt": text, "response": text},
    }
    found = {key: dict(schema["properties"][key]) for key in ("workers", "roles", "parts", "by-file")}
    for each in found.values():
        del each["description"], each["default"]
    assert found == {
        "workers": {"anyOf": [{"type": "integer", "minimum": 1}, {"enum": ["auto"]}]},
        "roles": {"type": "object", "additionalProperties": {"enum": ["prompt", "response"]}},
        "parts": {**table, "additionalProperties": table},
        "by-file": {"type": "object", "additionalProperties": table},
    }


@pytest.mark.parametrize("given", [4, "4"])
def test_a_number_beside_a_word(tmp_path: Path, given: Any) -> None:
    assert load(tmp_path, "workers = 4\n").workers == 4
    assert load(tmp_path, env={"SQSD_LINT_WORKERS": "4"}).workers == 4
    assert load(tmp_path, workers=given).workers == 4
    assert load(tmp_path, workers="auto").workers == "auto"
    expected = 'expected an integer of at least 1 or "auto"'
    assert refused(tmp_path, "workers = 0\n").message == f'sqsd-lint.toml: "workers" is 0, {expected}'
    fault = refused(tmp_path, workers="atuo")
    assert fault.message == f'command line: --workers is "atuo", {expected}'
    assert fault.hint == 'Did you mean "auto"?'


def test_a_table_of_values_and_tables(tmp_path: Path) -> None:
    toml = '[parts]\nprompt = "q"\n[parts."old/*.jsonl"]\nresponse = "a"\n'
    expected = {"prompt": "q", "old/*.jsonl": {"response": "a"}}
    assert load(tmp_path, toml).parts == expected
    assert load(tmp_path, env={"SQSD_LINT_PARTS": json.dumps(expected)}).parts == expected
    assert load(tmp_path, env={"SQSD_LINT_PARTS": "prompt=q"}).parts == {"prompt": "q"}
    assert "a table in JSON" in refused(tmp_path, env={"SQSD_LINT_PARTS": "{prompt"}).message


@pytest.mark.parametrize(
    ("toml", "message", "hint"),
    [
        ('[parts]\npromt = "q"\n', '"parts.promt" is "q", expected a table', 'Did you mean "prompt"?'),
        ('[parts."a/*"]\npromt = "q"\n', 'unknown key "parts.a/*.promt"', 'Did you mean "prompt"?'),
        ('[by-file."a/*"]\nprompt = 3\n', '"by-file.a/*.prompt" is 3, expected a string', None),
        ('[roles]\nbot = "respons"\n', 'is "respons", expected one of', 'Did you mean "response"?'),
        ('[rolls]\nbot = "response"\n', 'unknown key "rolls"', 'Did you mean "roles"?'),
    ],
)
def test_faults_in_nested_tables_name_the_nearest_key(
    tmp_path: Path, toml: str, message: str, hint: str | None
) -> None:
    fault = refused(tmp_path, toml)
    assert message in fault.message
    assert fault.hint == hint


def test_paths_in_tables_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/x.toml").write_text('[folders]\na = ["b"]\n', encoding="utf-8")
    found = load_settings({}, config="conf/x.toml", cwd=tmp_path, environ={}, table=MORE).settings
    assert found.folders == {str(Path("conf/a")): [str(Path("conf/b"))]}  # type: ignore[attr-defined]


def test_only_the_command_line_sets_what_is_about_one_run(tmp_path: Path) -> None:
    assert load(tmp_path, staged=True).staged
    fault = refused(tmp_path, "staged = true\n")
    assert fault.message == "sqsd-lint.toml: staged cannot be set in a file, since it is about one run"
    assert fault.hint == "Give --staged on the command line."
    assert "--policy-ref" in (refused(tmp_path, env={"SQSD_LINT_POLICY_REF": "x"}).hint or "")


def test_the_published_table_declares_everything_that_can_be_set() -> None:
    derived = {"lock", "opinions"}  # of the place of the configuration, and of several bundles
    assert set(TABLE.by_name) == {field.name for field in fields(Settings)} - derived
    for each in TABLE:
        assert each.help.endswith(".")
        assert not each.option or not each.commands
        assert each.metavar or each.words or each.kind == "boolean" or not each.commands
        if each.commands_that_negate() and not each.is_on_by_default:
            assert each.negation is not None
            assert set(each.commands_that_negate()) <= set(each.commands)
