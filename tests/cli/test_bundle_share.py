"""`bundle pull`, `push`, `list` and `prune` as a user runs them, against a store and the small Hub."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.cli.app import main
from tests.bundle.hub_fixtures import contents, environment, hub
from tests.bundle.hub_server import Hub

__all__ = ["hub"]  # a fixture


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a cache of its own, and no embedded bundle."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SQSD_LINT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("sqsd_lint.resources.bundles_dir", lambda: tmp_path / "none")
    return tmp_path


def test_push_pull_list_prune(tiny_bundle: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = load_bundle(tiny_bundle).digest[:12]
    address = f"file://{place}/store"
    assert main(["bundle", "push", str(tiny_bundle), address]) == 0
    assert f"bundle pull {address}" in capsys.readouterr().out
    assert main(["bundle", "pull", address]) == 0
    assert f"tiny@{digest}" in capsys.readouterr().out
    assert main(["bundle", "list"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["bundle", "digest", "size", "last", "used", "base", "model"]
    assert row.startswith(f"tiny@{digest}  {digest}  ")
    assert "today" in row
    assert row.endswith(address)
    assert main(["bundle", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["sources"] == [address]
    assert main(["bundle", "prune", "--unused-for", "0", "--dry-run"]) == 0
    assert f"would remove tiny@{digest}" in capsys.readouterr().out
    assert main(["bundle", "prune", "--unused-for", "0"]) == 0
    assert "are free" in capsys.readouterr().out
    assert main(["bundle", "list"]) == 0
    assert "No bundles" in capsys.readouterr().out


def test_what_is_wrong_is_one_line_and_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code, said in (
        (["pull", "hf://org"], 2, "no repository on the Hub"),
        (["pull"], 2, "neither a lock nor the configuration"),
        (["pull", "file:///none/at/all"], 3, "there is no bundle"),
        (["pull", "hf://org/name"], 3, "HF_HUB_OFFLINE"),
        (["push", "hf://org/name", "hf://org/other"], 2, "lies on this machine"),
    ):
        assert main(["bundle", *arguments]) == code
        captured = capsys.readouterr()
        assert said in captured.err
        assert "help: " in captured.err


def test_pull_and_show_by_a_process_of_its_own(tiny_bundle: Path, place: Path, hub: Hub) -> None:
    hub.add("org/tiny", contents(tiny_bundle), private=True)
    command = [sys.executable, "-m", "sqsd_lint", "bundle", "show", "--json", "hf://org/tiny"]
    done = subprocess.run(command, env=environment(hub, place / "cache"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["digest"] == load_bundle(tiny_bundle).digest
    assert done.stderr == ""
