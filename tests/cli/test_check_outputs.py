"""Several reports of one run, each in its place."""

from __future__ import annotations

import io
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sqsd_lint.cli.app import main
from sqsd_lint.cli.output import Target, targets
from sqsd_lint.errors import UsageError
from sqsd_lint.report import FORMATS
from sqsd_lint.resources import load_schema
from tests.cli.conftest import FakePipeline
from tests.report.reports import FULL


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "file", "expected"),
    [
        ([], None, [Target("github")]),
        ([], "x", [Target("github", "x")]),
        (["json"], None, [Target("json")]),
        (["json"], "x", [Target("json", "x")]),
        (["json:x"], None, [Target("json", "x")]),
        (
            ["text", "sarif:a:b", "json:x"],
            None,
            [Target("sarif", "a:b"), Target("json", "x"), Target("text")],
        ),
        (["text", "json:x"], "y", [Target("text", "y"), Target("json", "x")]),
        (["json:a", "json:b"], None, [Target("json", "a"), Target("json", "b")]),
    ],
)
def test_targets(wanted: list[str], file: str | None, expected: list[Target]) -> None:
    assert targets(wanted, file, "github") == expected


@pytest.mark.parametrize(
    ("wanted", "file", "said"),
    [
        (["yaml"], None, "no format 'yaml'"),
        (["SARIF:x"], None, "no format 'SARIF'"),
        (["json:"], None, "no file behind"),
        (["text", "json"], None, "text and json both go to one place"),
        (["text", "json"], "x", "both go to one place"),
        (["text:x"], "y", "has a file of its own"),
        (["text:x", "json:./x"], None, "two reports go to"),
        (["text:missing/x"], None, "--output-format: there is no folder"),
        (["text"], "missing/x", "--output-file: there is no folder"),
        (["text:."], None, "is a folder"),
    ],
)
def test_what_is_refused(wanted: list[str], file: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        targets(wanted, file, "text")


def test_the_configuration_knows_every_format() -> None:
    assert tuple(load_schema("config")["properties"]["output-format"]["enum"]) == FORMATS


def test_every_format_in_one_run(pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline.report = replace(FULL, exit_code=1)
    wanted = [f"{name}:out.{name}" for name in FORMATS if name != "text"]
    arguments = [word for item in ["text", *wanted] for word in ("--output-format", item)]
    assert main(["check", ".", *arguments]) == 1
    assert capsys.readouterr().out.startswith("sqsd-lint · ")
    assert sorted(os.listdir()) == sorted(f"out.{name}" for name in FORMATS if name != "text")
    assert json.loads(Path("out.sarif").read_text())["version"] == "2.1.0"


def test_nothing_is_printed_that_was_not_asked_for(
    pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", ".", "--output-format", "json:out.json"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_format_from_configuration_and_environment(
    pipeline: FakePipeline, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("sqsd-lint.toml").write_text('output-format = "json"\n')
    main(["check"])
    assert json.loads(capsys.readouterr().out)["version"] == 1
    monkeypatch.setenv("SQSD_LINT_OUTPUT_FORMAT", "jsonl")
    main(["check"])
    assert not capsys.readouterr().out.startswith("{\n")
    main(["check", "--output-format", "text"])
    assert capsys.readouterr().out.startswith("sqsd-lint · ")
    # A pull request may bring a configuration; it writes no files.
    monkeypatch.setenv("SQSD_LINT_OUTPUT_FORMAT", "")
    Path("sqsd-lint.toml").write_text('output-format = "json:stolen"\n')
    assert main(["check"]) == 2
    assert not Path("stolen").exists()


def test_a_reader_that_leaves_costs_no_file(pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    pipeline.report = replace(FULL, exit_code=1)
    monkeypatch.setattr(sys, "stdout", Closed())
    assert main(["check", "--output-format", "json", "--output-format", "markdown:out.md"]) == 1
    assert Path("out.md").read_text()
