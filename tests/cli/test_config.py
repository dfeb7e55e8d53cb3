from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sqsd_lint.cli.app import main
from sqsd_lint.resources import load_schema
from tests.cli.test_process import sqsd_lint


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration that extends another."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/base.toml").write_text('device = "cuda"\nredact = true\n', encoding="utf-8")
    (tmp_path / "sqsd-lint.toml").write_text(
        'extend = "shared/base.toml"\ndevice = "mps"\nthreshold = 7\n', encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("SQSD_LINT_")]:
        monkeypatch.delenv(name)
    return tmp_path


def show(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    assert main(["config", "show", "--json", *args]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_every_setting_is_shown_with_its_value_and_origin(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SQSD_LINT_TURNS", "last")
    assert main(["config", "show"]) == 0
    head, _, *lines = capsys.readouterr().out.splitlines()
    assert head == f"configuration: sqsd-lint.toml → extends {Path('shared/base.toml')}"
    found = {line.split()[0]: line.split()[1:] for line in lines}
    assert list(found) == [
        key for key in load_schema("config")["properties"] if key not in ("$schema", "extend")
    ]
    assert found["device"] == ['"mps"', "sqsd-lint.toml"]
    assert found["redact"] == ["true", str(Path("shared/base.toml"))]
    assert found["turns"] == ['"last"', "environment", "SQSD_LINT_TURNS"]
    assert found["max-length"] == ["1024", "default"]
    assert found["bundle"] == ["not", "set", "default"]


def test_json_says_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = show(capsys)
    assert document["files"] == ["sqsd-lint.toml", str(Path("shared/base.toml"))]
    assert document["settings"]["threshold"] == {"value": "7", "origin": "sqsd-lint.toml"}
    assert document["settings"]["bundle"] == {"value": None, "origin": "default"}
    assert document["settings"]["select"] == {"value": [], "origin": "default"}
    given = {key: each["value"] for key, each in document["settings"].items() if each["value"] is not None}
    jsonschema.validate(given, load_schema("config"))


def test_isolated_reads_no_file_and_config_names_another(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = show(capsys, "--isolated")
    assert document["files"] == []
    assert {each["origin"] for each in document["settings"].values()} == {"default"}
    document = show(capsys, "--config", "shared/base.toml")
    assert document["settings"]["device"] == {"value": "cuda", "origin": str(Path("shared/base.toml"))}
    assert main(["config", "show", "--isolated"]) == 0
    assert capsys.readouterr().out.startswith("configuration: no file\n")


def test_a_wrong_file_is_wrong_usage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "sqsd-lint.toml").write_text("treshold = 7\n", encoding="utf-8")
    assert main(["config", "show"]) == 2
    error = capsys.readouterr().err
    assert 'sqsd-lint.toml: unknown key "treshold"' in error
    assert 'Did you mean "threshold"?' in error


def test_hostile_values_are_shown_as_escapes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "sqsd-lint.toml").write_text(
        'model = "\\u001b[2J\\u202e::error::x"\nexclude = ["\\n::error::y"]\n', encoding="utf-8"
    )
    assert main(["config", "show"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert not any(line.lstrip().startswith("::") for line in out.splitlines())


def test_schema_is_the_published_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema == load_schema("config")
    jsonschema.Draft202012Validator.check_schema(schema)


def test_a_command_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config"]) == 2
    assert main(["config", "--help"]) == 0
    assert "schema" in capsys.readouterr().out


def test_show_needs_nothing_heavy(folder: Path) -> None:
    done = sqsd_lint("config", "show", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    probe = (
        "import sys; from sqsd_lint.cli.app import main; assert main(['config', 'show']) == 0;"
        "assert not {'torch', 'transformers', 'pyarrow', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
