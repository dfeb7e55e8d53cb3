"""The real commands with a tiny model: explain, bundle sketch, score --emit-spans, two bundles."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

Command = Callable[..., "subprocess.CompletedProcess[str]"]
ROWS = [{"question": f"What is {i}?", "answer": f"It is {i}. And so on, until {2 * i}."} for i in range(3)]


@pytest.fixture
def lint(tiny_model_folder: Path, tmp_path: Path) -> Command:
    def run(*args: object) -> subprocess.CompletedProcess[str]:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("SQSD_LINT_")}
        more = {"SQSD_LINT_CACHE_DIR": str(tmp_path / "cache"), "NO_COLOR": "1"}
        model = ["--model", tiny_model_folder, "--device", "cpu", "--dtype", "float32"]
        return subprocess.run(
            [sys.executable, "-m", "sqsd_lint", *map(str, (*args, *model))],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**environ, **more},
            timeout=300,
        )

    return run


def test_the_commands_work_together(lint: Command, tiny_bundle: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    bundle = shutil.copytree(tiny_bundle, tmp_path / "sketched")
    done = lint("bundle", "sketch", bundle, "--danger", data, "--safety", data, "--dims", 1024)
    assert done.returncode == 0, done.stderr
    assert "6 rows sketched" in done.stdout

    lines = ("--bundle", bundle, "--threshold", "1000", "--warning-threshold", "-1000")
    done = lint("explain", f"{data}:2", *lines)
    assert done.returncode == 0, done.stderr
    for heading in ("Answer", "Parts", "Blocks", "Layers", "Nearest training rows", "What would bring it"):
        assert heading in done.stdout
    done = lint("explain", f"{data}:2", *lines, "--output-format", "json")
    found = json.loads(done.stdout)
    assert found["nearest"]["danger"][0]["row"] == 2

    done = lint("score", data, "--bundle", bundle, "--emit-spans")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout.splitlines()[1])
    whole = sum(p["sqsd"] for p in (*row["spans"], row["prompt"], row["other"]))
    assert whole == pytest.approx(row["sqsd"], abs=1e-4)
    assert row["sqsd"] == pytest.approx(found["row"]["sqsd"], abs=1e-3)

    plain = lint("score", data, "--bundle", tiny_bundle, "--no-cache")
    assert plain.returncode == 0, plain.stderr
    without = json.loads(plain.stdout.splitlines()[1])
    assert without["sqsd"] == pytest.approx(row["sqsd"], abs=1e-6), "sketches change no score"
    both = lint("score", data, "--bundle", bundle, "--bundle", tiny_bundle)
    assert (both.returncode, "one opinion, not two" in both.stderr) == (2, True)


def test_wrong_rows_and_sketches(lint: Command, tiny_bundle: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps(ROWS[0]) + "\n")
    done = lint("explain", f"{data}:9", "--bundle", tiny_bundle)
    assert (done.returncode, "no such row" in done.stderr) == (2, True)
    done = lint("bundle", "sketch", tiny_bundle, "--danger", data)
    assert (done.returncode, "--recipe" in done.stderr) == (2, True)
