from __future__ import annotations

from pathlib import Path

import pytest

from sqsd_lint import __version__
from sqsd_lint.cli.app import main, with_command
from sqsd_lint.errors import UsageError
from tests.cli.conftest import FakePipeline

COMMANDS = ("check", "score", "explain", "bundle", "lock", "drift", "validate", "rule", "cache", "clean")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], ["check"]),
        (["data/"], ["check", "data/"]),
        (["-"], ["check", "-"]),
        (["--threshold", "7"], ["check", "--threshold", "7"]),
        (["data/", "--quiet"], ["check", "data/", "--quiet"]),
        (["check", "data/"], ["check", "data/"]),
        (["rule"], ["rule"]),
        (["--help"], ["--help"]),
        (["--version"], ["--version"]),
        (["train.jsonl"], ["check", "train.jsonl"]),
        (["checks.jsonl"], ["check", "checks.jsonl"]),
        (["somewhere"], ["check", "somewhere"]),
    ],
)
def test_check_is_meant_when_no_command_is_named(args: list[str], expected: list[str]) -> None:
    assert with_command(args, COMMANDS) == expected


@pytest.mark.parametrize(("typo", "meant"), [("chekc", "check"), ("bundels", "bundle"), ("scor", "score")])
def test_a_misspelt_command_is_named(typo: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        with_command([typo], COMMANDS)
    assert meant in (caught.value.hint or "")


def test_a_path_that_looks_like_a_command_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores").mkdir()
    assert with_command(["scores"], COMMANDS) == ["check", "scores"]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sqsd-lint {__version__}\n"


BUNDLE_COMMANDS = (
    *("list", "show", "verify", "remove", "prune", "import", "build", "calibrate", "sketch", "push", "pull"),
)


@pytest.mark.parametrize(
    "args",
    [["--help"], ["-h"], *([name, "--help"] for name in COMMANDS)]
    + [["bundle", name, "--help"] for name in BUNDLE_COMMANDS],
    ids=" ".join,
)
def test_help(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 0
    assert "Usage: sqsd-lint" in capsys.readouterr().out


def test_the_short_form_checks(pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data/", "--threshold", "7"]) == 0
    assert pipeline.settings is not None
    assert (pipeline.settings.paths, pipeline.settings.threshold) == (("data/",), "7")
    assert "All clear" in capsys.readouterr().out


def test_without_paths_the_configuration_names_them(pipeline: FakePipeline) -> None:
    Path("sqsd-lint.toml").write_text('paths = ["data"]\n', encoding="utf-8")
    assert main([]) == 0
    assert pipeline.settings is not None
    assert [Path(path).name for path in pipeline.settings.paths] == ["data"]
    assert main(["--isolated"]) == 0
    assert pipeline.settings.paths == (".",)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["check", "--no-such-option"], "--no-such-option"),
        (["check", "--max-length", "many"], "--max-length"),
        (["check", "--metric", "angle"], "--metric"),
        (["check", "--threshold", "high"], "--threshold"),
        (["check", "--columns", "prompt"], "KEY=COLUMN"),
        (["check", "--output-format", "xml"], "--output-format"),
        (["check", "--config", "missing.toml"], "missing.toml"),
        (["check", "--output-file", "no/such/folder/x"], "no/such/folder"),
        (["check", "--output-file", "."], "is a folder"),
        (["score"], "FILE"),
        (["rule", "SQSD999"], "SQSD999"),
        (["rule", "SQSD101", "--all"], "contradict"),
        (["bundle"], "command"),
        (["bundle", "shwo"], "shwo"),
        (["bundle", "import"], "--output"),
        (["bundle", "import", "--output", "made"], "--danger"),
        (["bundle", "remove", "../x"], "../x"),
        (["chekc"], "chekc"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage_is_exit_2(
    args: list[str], message: str, pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err


def test_a_hostile_argument_is_escaped(pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--metric", "\x1b[31m[red]x"]) == 2
    assert main(["--\x1b[2Jx"]) == 2
    assert "\x1b" not in capsys.readouterr().err
