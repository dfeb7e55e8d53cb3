"""The real command on real files with a tiny model: every exit code, and what a user sees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

Command = Callable[..., "subprocess.CompletedProcess[str]"]
ROWS = [{"question": f"What is {i} plus {i}?", "answer": f"It is {2 * i}."} for i in range(6)]


@pytest.fixture
def lint(tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path) -> Command:
    """Runs `sqsd-lint COMMAND ...` with the tiny bundle, in an empty folder of its own."""

    def run(
        command: str, *args: object, bundle: Path | None = tiny_bundle, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        chosen = [
            "--bundle",
            str(bundle),
            "--model",
            str(tiny_model_folder),
            "--device",
            "cpu",
            "--dtype",
            "float32",
        ]
        environ = {k: v for k, v in os.environ.items() if not k.startswith("SQSD_LINT_")}
        return subprocess.run(
            [sys.executable, "-m", "sqsd_lint", command, *(chosen if bundle else ()), *map(str, args)],
            capture_output=True,
            text=True,
            input=stdin,
            cwd=tmp_path,
            env={**environ, "SQSD_LINT_CACHE_DIR": str(tmp_path / "cache"), "NO_COLOR": "1"},
            timeout=300,
        )

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_exit_0_without_a_violation(lint: Command, data: Path) -> None:
    done = lint("check", data, "--threshold", "1000", "--warning-threshold", "999")
    assert done.returncode == 0, done.stderr
    assert "scored 6 of 6 rows" in done.stdout


def test_exit_1_with_violations(lint: Command, data: Path) -> None:
    done = lint("check", data, "--threshold", "-1000", "--output-format", "json")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert [(v["rule"], v["line"]) for v in report["violations"]] == [("SQSD101", i) for i in range(1, 7)]
    assert report["summary"]["exit_code"] == 1
    assert lint("check", data, "--threshold", "-1000", "--exit-zero").returncode == 0


def test_exit_2_with_wrong_usage(lint: Command, data: Path) -> None:
    assert lint("check", data, "--threshold", "many").returncode == 2
    assert lint("check", data, "--threshold", "1", "--select", "SQSD999").returncode == 2


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ('{"question": "Why?", "answer": ""}\n', "SQSD301"),
        ("{broken\n", "SQSD303"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "SQSD304"),
    ],
)
def test_exit_3_where_something_was_not_scored(lint: Command, data: Path, content: str, code: str) -> None:
    bad = data.with_name("bad.jsonl")
    bad.write_text(content)
    lines = ("--threshold", "1000", "--warning-threshold", "999")
    done = lint("check", data, bad, *lines)
    assert done.returncode == 3, done.stderr
    assert code in done.stdout
    assert "bad.jsonl" in done.stdout
    assert lint("check", data, bad, *lines, "--exit-zero").returncode == 3
    assert lint("check", data, bad, *lines, "--ignore", code).returncode == 3
    assert lint("check", data, bad, *lines, "--allow", code).returncode == 0


def test_exit_3_without_a_bundle_for_the_named_model(lint: Command, data: Path) -> None:
    done = lint("check", data, "--model", "nobody/no-such-model", bundle=None)
    assert done.returncode == 3
    assert "bundle import" in done.stderr
    assert "bundle build" in done.stderr


def test_exit_3_where_the_bundle_was_tampered_with(
    lint: Command, data: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(tiny_bundle, copy)
    weights = copy / "danger" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    done = lint("check", data, "--threshold", "1", bundle=copy)
    assert done.returncode == 3
    assert "danger/adapter_model.safetensors" in done.stderr


def test_the_highest_exit_code_wins(lint: Command, data: Path) -> None:
    data.write_text(data.read_text() + "{broken\n")
    assert lint("check", data, "--threshold", "-1000").returncode == 3


def test_standard_input(lint: Command) -> None:
    text = "question,answer\nWhy?,Because it is so.\n"
    done = lint("check", "-", "--stdin-format", "csv", "--threshold", "-1000", stdin=text)
    assert done.returncode == 1, done.stderr
    assert "<stdin>" in done.stdout


def test_score_writes_one_object_per_row(lint: Command, data: Path) -> None:
    data.write_text(data.read_text() + '{"question": "Why?", "answer": ""}\n')
    done = lint("score", data)
    assert done.returncode == 3
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [set(row) for row in rows] == [
        {
            "file",
            "line",
            "fingerprint",
            "danger",
            "safety",
            "sqsd",
            "percentile",
            "tokens",
            "truncated",
            "status",
        }
    ] * 7
    assert [row["line"] for row in rows] == list(range(1, 8))
    assert [row["status"] for row in rows] == ["ok"] * 6 + ["SQSD301"]
    assert rows[6]["sqsd"] is None
    assert all(row["sqsd"] == pytest.approx(row["danger"] - row["safety"]) for row in rows[:6])


def test_a_second_run_loads_no_torch(lint: Command, data: Path, tmp_path: Path) -> None:
    args = ("check", data, "--threshold", "1000", "--warning-threshold", "999")
    assert lint(*args).returncode == 0
    # A module that cannot be imported stands in front of the real torch.
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')")
    assert lint(*args).returncode == 0
    assert lint(*args, "--no-cache").returncode == 3


def test_the_python_api_does_what_the_commands_do(
    data: Path, tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    import sqsd_lint

    settings = {
        "bundle": str(tiny_bundle),
        "model": str(tiny_model_folder),
        "cache_dir": str(tmp_path / "cache"),
        "dtype": "float32",
    }
    report = sqsd_lint.check([data], threshold="-1000", **settings)
    assert report.exit_code == 1
    rows = list(sqsd_lint.score([data], **settings))
    assert [row.where.line for row in rows] == list(range(1, 7))
