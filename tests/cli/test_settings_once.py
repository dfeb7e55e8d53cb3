"""A setting is declared in one place: one that a test adds is there in every place that settings show in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from typer.main import get_command

from sqsd_lint.cli.app import build, main
from sqsd_lint.cli.completion import VOCABULARIES, vocabularies
from sqsd_lint.config import TABLE, Settings
from sqsd_lint.config.reference import settings_page
from sqsd_lint.config.schema import config_schema
from sqsd_lint.config.settings import PANELS
from sqsd_lint.config.table import Table, setting
from tests.cli.conftest import FakePipeline


@dataclass(frozen=True, slots=True)
class Tinted(Settings):
    """The settings and one more."""

    tint: Literal["none", "warm", "cold"] = setting(
        "none", "The colour of the report.", "Output", commands=("check", "bundle calibrate")
    )


TINTED = Table(Tinted, vocabularies(TABLE))


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Any:
    def show() -> Any:
        capsys.readouterr()
        assert main(["config", "show", "--json"], table=TINTED) == 0
        return json.loads(capsys.readouterr().out)["settings"]["tint"]

    return show


def commands(command: Any, path: Sequence[str] = ()) -> Iterator[tuple[str, Any]]:
    """Yield every command with its words, groups too."""
    yield " ".join(path), command
    for name, part in getattr(command, "commands", {}).items():
        yield from commands(part, [*path, name])


def test_it_is_an_option(pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--tint", "warm"], table=TINTED) == 0
    assert pipeline.settings == Tinted(tint="warm")
    capsys.readouterr()
    assert main(["check", "--tint", "warn"], table=TINTED) == 2
    assert 'expected one of "none", "warm", "cold"' in capsys.readouterr().err
    assert main(["score", "x", "--tint", "warm"], table=TINTED) == 2
    assert main(["check", "--help"], table=TINTED) == 0
    assert "none|warm|cold" in capsys.readouterr().out
    taking = {
        name
        for name, command in commands(get_command(build(TINTED)))
        for p in command.params
        if p.name == "tint"
    }
    assert taking == {"check", "bundle calibrate"}


def test_it_is_an_environment_variable(
    pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch, shown: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SQSD_LINT_TINT", "cold")
    assert main(["check"], table=TINTED) == 0
    assert pipeline.settings == Tinted(tint="cold")
    assert shown() == {"value": "cold", "origin": "environment SQSD_LINT_TINT"}
    assert main(["check"]) == 2
    assert "SQSD_LINT_TINT is not a setting" in capsys.readouterr().err


def test_it_is_a_key_of_configuration_files(
    pipeline: FakePipeline, shown: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("sqsd-lint.toml").write_text('tint = "cold"\n', encoding="utf-8")
    assert main(["check"], table=TINTED) == 0
    assert pipeline.settings == Tinted(tint="cold")
    assert shown() == {"value": "cold", "origin": "sqsd-lint.toml"}
    Path("sqsd-lint.toml").write_text('tnt = "cold"\n', encoding="utf-8")
    capsys.readouterr()
    assert main(["check"], table=TINTED) == 2
    assert 'Did you mean "tint"?' in capsys.readouterr().err


def test_it_is_in_config_show_the_schema_and_the_reference(pipeline: FakePipeline, shown: Any) -> None:
    assert shown() == {"value": "none", "origin": "default"}
    words = vocabularies(TINTED)
    assert config_schema(TINTED, words)["properties"]["tint"] == {
        "enum": ["none", "warm", "cold"],
        "description": "The colour of the report.",
        "default": "none",
    }
    page = settings_page(TINTED, PANELS, words)
    assert "### `tint`" in page
    assert "* Command line: `--tint none|warm|cold` (check, bundle calibrate)" in page


def test_a_shell_completes_its_words() -> None:
    check = get_command(build(TINTED)).commands["check"]  # type: ignore[attr-defined]
    (option,) = [param for param in check.params if param.name == "tint"]
    with check.make_context("check", [], resilient_parsing=True) as context:
        assert [item.value for item in option.shell_complete(context, "w")] == ["warm"]


def test_every_command_that_the_table_names_exists() -> None:
    known = {name for name, _ in commands(get_command(build()))}
    for each in TABLE:
        assert {*each.commands, *each.commands_that_negate(), *each.repeats} <= known, each.name
        for words in (each.choices, each.keys, each.suggest):
            assert not isinstance(words, str) or words in VOCABULARIES


def test_no_help_is_cut_at_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    cut = {}
    for name, _ in commands(get_command(build())):
        assert main([*name.split(), "--help"]) == 0
        lines = capsys.readouterr().out.splitlines()
        cut[name] = [line for line in lines if "…" in line or len(line) > 80]
    assert len(cut) > 25
    assert {name: lines for name, lines in cut.items() if lines} == {}


def test_help_loads_little() -> None:
    """A command's help loads the commands, the table, Typer and rich, and nothing that a run needs."""
    code = (
        "import json, sys; from sqsd_lint.cli.app import main; main(['check', '--help'])\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    modules = set(json.loads(done.stderr))
    assert not modules & {"jsonschema", "torch", "transformers", "numpy", "pyarrow", "tomllib"}
    assert len([name for name in modules if name.startswith("sqsd_lint.")]) <= 60
    rooms = {name.split(".")[1] for name in modules if name.startswith("sqsd_lint.")}
    assert not rooms & {"run", "rules", "bundle", "scoring", "discover", "read", "samples"}
