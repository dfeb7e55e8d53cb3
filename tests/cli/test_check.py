from __future__ import annotations

import io
import json
import os
import stat
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from sqsd_lint.cli.app import main
from sqsd_lint.config import Settings
from sqsd_lint.errors import ModelNotFoundError
from tests.cli.conftest import FakePipeline
from tests.report.reports import FULL

ERRORS_ONLY = replace(FULL, exit_code=1)


@pytest.mark.parametrize("code", [0, 1, 3])
def test_the_verdict_is_the_exit_code(code: int, pipeline: FakePipeline) -> None:
    pipeline.report = replace(FULL, exit_code=code)
    assert main(["check", "."]) == code


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (1, 0), (3, 3)])
def test_exit_zero_forgives_violations_only(code: int, expected: int, pipeline: FakePipeline) -> None:
    pipeline.report = replace(FULL, exit_code=code)
    assert main(["check", ".", "--exit-zero"]) == expected


def test_an_error_of_the_run_is_printed(pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline.error = ModelNotFoundError("no model x\x1b[31m", hint="get one")
    assert main(["check", "."]) == 3
    assert capsys.readouterr() == ("", "error: no model x\\x1b[31m\nhelp: get one\n")


@pytest.mark.parametrize("format", ["text", "json", "jsonl"])
def test_formats(format: str, pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline.report = FULL
    main(["check", ".", "--output-format", format])
    out = capsys.readouterr().out
    assert out.startswith({"text": "sqsd-lint · ", "json": '{\n  "version": 1', "jsonl": '{"rule"'}[format])


def test_only_what_was_given_reaches_the_settings(pipeline: FakePipeline) -> None:
    main(["check"])
    assert pipeline.settings == Settings()


def test_options_reach_the_settings(pipeline: FakePipeline) -> None:
    args = [
        *("check", "a.jsonl", "b/", "--bundle", "mine", "--model", "org/m", "--proxy", "--device", "cpu"),
        *("--dtype", "float32", "--metric", "dot", "--expansion", "shared", "--turns", "last"),
        *("--max-length", "512", "--batch-tokens", "4096", "--threshold", "p99.95"),
        *("--warning-threshold", "z2", "--select", "SQSD101,SQSD102", "--select", "SQSD303"),
        *("--ignore", "SQSD302", "--allow", "SQSD301", "--rules", "strict"),
        *("--columns", "prompt=q", "--columns", "response=a=b", "--exclude", "*.bak"),
        *("--force-exclude", "--no-cache", "--cache-dir", "cache", "--trust-remote-code", "--redact"),
    ]
    assert main(args) == 0
    assert pipeline.settings == Settings(
        paths=("a.jsonl", "b/"),
        bundle="mine",
        model="org/m",
        proxy=True,
        device="cpu",
        dtype="float32",
        metric="dot",
        expansion="shared",
        turns="last",
        max_length=512,
        batch_tokens=4096,
        threshold="p99.95",
        warning_threshold="z2",
        select=("SQSD101", "SQSD102", "SQSD303"),
        ignore=("SQSD302",),
        rules="strict",
        columns={"prompt": "q", "response": "a=b"},
        exclude=("*.bak",),
        force_exclude=True,
        allow=("SQSD301",),
        cache=False,
        cache_dir="cache",
        trust_remote_code=True,
        redact=True,
    )


@pytest.mark.parametrize("command", ["check", "score"])
def test_every_setting_has_an_option(command: str) -> None:
    from typer.main import get_command

    from sqsd_lint.cli.app import build

    params = {param.name for param in get_command(build()).commands[command].params}  # type: ignore[attr-defined]
    judgement = {
        *("threshold", "warning_threshold", "select", "ignore", "rules", "redact", "severity", "fail_on"),
        "consensus",
        *("per_file_ignores", "baseline", "suppressions", "learning_rate", "epochs", "batch_size", "scope"),
        *(
            "staged",
            "changed_since",
            "policy_ref",
            "output_format",
            "inline_suppressions",
            "sample",
            "scores",
        ),
    }
    wanted = {field.name for field in fields(Settings)} - (judgement if command == "score" else set())
    # A severity has no option: a single run has --select, --ignore and --fail-on.
    other = {"cache": "no_cache", "inline_suppressions": "no_inline_suppressions"}
    other |= {"output_format": "output_formats"}
    # Nor have the bundles of other models, or of other opinions, for which there is --bundle, or the lock,
    # which is a file.
    of_the_data = {"roles", "context_separator"}  # they belong to the files, not to a run
    assert wanted - params <= {*other, "severity", "bundles", "opinions", "lock", *of_the_data}
    assert {name for setting, name in other.items() if setting in wanted} <= params


def test_the_environment_counts_and_the_debug_switch_is_no_setting(
    pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQSD_LINT_DEBUG", "1")
    monkeypatch.setenv("SQSD_LINT_MAX_LENGTH", "256")
    assert main(["check"]) == 0
    assert pipeline.settings is not None
    assert pipeline.settings.max_length == 256


def test_redact_may_come_from_the_configuration(
    pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("sqsd-lint.toml").write_text("redact = true\n", encoding="utf-8")
    pipeline.report = FULL
    main(["check"])
    assert "proxy server" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "present", "absent"),
    [
        ("--quiet", "SQSD101", "sqsd-lint ·"),
        ("-q", "SQSD101", "sqsd-lint ·"),
        ("--verbose", "danger 7.10", "\x1b"),
        ("--statistics", "2  ✗ SQSD101", "p99.98"),
        ("--redact", "fingerprint", "proxy server"),
    ],
)
def test_how_much_is_shown(
    option: str, present: str, absent: str, pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.report = FULL
    main(["check", option])
    out = capsys.readouterr().out
    assert present in out
    assert absent not in out


def test_the_output_file_gets_the_report(pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline.report = ERRORS_ONLY
    target = Path("report.json")
    target.write_text("old", encoding="utf-8")
    assert main(["check", "--output-format", "json", "--output-file", str(target)]) == 1
    assert json.loads(target.read_text(encoding="utf-8"))["summary"]["exit_code"] == 1
    assert capsys.readouterr().out == ""
    assert os.listdir() == ["report.json"]
    if os.name == "posix":
        umask = os.umask(0)
        os.umask(umask)
        assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask


def test_a_reader_that_leaves_changes_no_verdict(
    pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    pipeline.report = ERRORS_ONLY
    for format in ("text", "json"):
        monkeypatch.setattr(sys, "stdout", Closed())
        assert main(["check", "--output-format", format]) == 1


def test_after_an_error_the_old_output_file_stands(pipeline: FakePipeline) -> None:
    target = Path("report.txt")
    target.write_text("old", encoding="utf-8")
    pipeline.error = ModelNotFoundError("no model")
    assert main(["check", "-o", "report.txt"]) == 3
    assert target.read_text(encoding="utf-8") == "old"
    assert os.listdir() == ["report.txt"]


@pytest.mark.skipif(os.name != "posix", reason="/dev/null is a POSIX device")
def test_a_device_may_be_the_output_file(pipeline: FakePipeline) -> None:
    assert main(["check", "-o", os.devnull]) == 0
    assert not Path(os.devnull).is_file()
