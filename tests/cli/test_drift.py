"""`sqsd-lint drift` as a user runs it: figures, pictures, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from sqsd_lint.cli.app import main
from sqsd_lint.resources import load_schema
from tests.drift.runs import save_adapters


@pytest.fixture
def folder(
    tiny_model_folder: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    vocab = json.loads((tiny_model_folder / "config.json").read_text())["vocab_size"]
    save_adapters(tmp_path / "run", {5: 1, 10: 2}, vocab)
    (tmp_path / "bundle").symlink_to(tiny_bundle)
    (tmp_path / "model").symlink_to(tiny_model_folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SQSD_LINT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def drift(*arguments: str) -> int:
    return main(["drift", *arguments, "--bundle", "bundle", "--isolated", "--no-progress"])


def test_from_end_to_end(folder: Path) -> None:
    command = [sys.executable, "-m", "sqsd_lint", "drift", "run", "--bundle", "bundle", "-o", "drift.json"]
    more = ["--output-format", "json", "--plot", "drift.png", "--plot", "drift.svg"]
    done = subprocess.run(
        [*command, *more], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = json.loads((folder / "drift.json").read_text())
    Draft202012Validator(load_schema("drift")).validate(found)
    assert [s["step"] for s in found["states"]] == [5, 10]
    assert len(found["states"][0]["total"]["layers"]) == 14
    assert (folder / "drift.png").read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in (folder / "drift.svg").read_text()


def test_full_weights_from_the_bundles_base_model(
    folder: Path, capsys: pytest.CaptureFixture[str], tiny_model_folder: Path
) -> None:
    (folder / "full").mkdir()
    (folder / "full/checkpoint-1").symlink_to(tiny_model_folder)
    assert drift("full", "--model", "model") == 0
    shown = capsys.readouterr().out
    assert "1 full checkpoint, measured from" in shown
    assert "14 layers of the directions not moved by the run" in shown
    assert drift("full", "--start", "model") == 0
    # The bundle's model is no folder here, and the Hub is never asked in tests.
    assert drift("full") == 3
    assert "name its folder with --start" in capsys.readouterr().err


def test_a_half_written_checkpoint_fails_unless_it_may(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = folder / "run/checkpoint-10/adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert drift("run") == 3
    shown = capsys.readouterr().out
    assert "left out: run/checkpoint-10/adapter_model.safetensors" in shown
    assert "1 adapter, measured from the base model" in shown
    assert drift("run", "--allow-unfinished") == 0
    weights.rename(folder / "run/checkpoint-5/adapter_model.safetensors")
    assert drift("run", "--allow-unfinished") == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("gone",), 2, "gone: no such folder"),
        (("bundle",), 3, "neither checkpoint"),
        (("run", "--plot", "drift.pdf"), 2, "neither .png nor .svg"),
        (("run", "--plot", "nowhere/drift.png"), 2, "there is no folder nowhere"),
        (("run", "--start", "model"), 2, "holds full weights, the run an adapter"),
    ],
)
def test_what_is_wrong_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, said: str
) -> None:
    assert drift(*arguments) == code
    assert said in " ".join(capsys.readouterr().err.split())
