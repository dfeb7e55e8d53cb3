"""docs/trainers.md: its blocks are run on data in the layouts that it names."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from sqsd_lint.cli.app import main
from sqsd_lint.config import load_settings

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "trainers.md"
ROWS = [(f"What is {i} and {i}?", f"It is {2 * i}.") for i in range(4)]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(
    tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A working folder with the files of the page, and a tiny model in place of the default one."""
    for name in [name for name in os.environ if name.startswith("SQSD_LINT_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "BUNDLE": tiny_bundle,
        "MODEL": tiny_model_folder,
        "DEVICE": "cpu",
        "DTYPE": "float32",
        "THRESHOLD": "1000",
        "WARNING_THRESHOLD": "999",
        "CACHE_DIR": tmp_path / "cache",
    }.items():
        monkeypatch.setenv(f"SQSD_LINT_{name}", str(value))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    chats = [
        {"messages": [{"role": "user", "content": one}, {"role": "assistant", "content": other}]}
        for one, other in ROWS
    ]
    (data / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in chats))
    alpaca = [{"instruction": one, "input": "", "output": other} for one, other in ROWS]
    (data / "alpaca.json").write_text(json.dumps(alpaca))
    (info,) = blocks("json llama-factory")
    (data / "dataset_info.json").write_text(info)
    return tmp_path


def test_the_filter_of_trl(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("datasets")
    names: dict[str, Any] = {}
    (first,) = blocks("python")
    exec(first, names)
    assert "4 of 4 rows are trained on" in capsys.readouterr().out
    assert names["clean"].to_list() == names["dataset"].to_list()


def test_the_trainer_of_trl_is_named_as_it_is() -> None:
    trl = pytest.importorskip("trl")
    assert trl.SFTTrainer
    assert trl.SFTConfig


def test_the_callback_needs_no_argument() -> None:
    (second,) = blocks("python trl")
    compile(second, str(PAGE), "exec")
    from sqsd_lint.drift.callback import SafetyDriftCallback

    assert "callbacks=[SafetyDriftCallback()]" in second
    SafetyDriftCallback()


@pytest.mark.parametrize("tool", ["axolotl", "llamafactory-cli"])
def test_what_is_checked_is_what_is_trained_on(
    tool: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines() if tool in line]
    assert commands
    for command in commands:
        ours = re.split(r" && |; ", command)[0].removeprefix("sqsd-lint ").split()
        assert main([*ours, "--no-progress"]) == 0
        assert "scored 4 of 4 rows" in capsys.readouterr().out


def test_the_files_of_the_trainers_name_the_same_data(folder: Path) -> None:
    (axolotl,) = blocks("yaml axolotl")
    (dataset,) = yaml.safe_load(axolotl)["datasets"]
    assert (folder / dataset["path"]).is_file()
    assert dataset["field_messages"] in json.loads((folder / dataset["path"]).read_text().splitlines()[0])
    info = json.loads((folder / "data" / "dataset_info.json").read_text())["mine"]
    row = json.loads((folder / "data" / info["file_name"]).read_text())[0]
    assert set(info["columns"].values()) == set(row)
    # Which holds no rows and is passed by where the folder is searched.
    shutil.rmtree(folder / "cache", ignore_errors=True)
    assert main(["check", "data", "--dry-run"]) == 0


def test_the_configuration_is_one(tmp_path: Path) -> None:
    (shown,) = blocks("toml")
    (tmp_path / "sqsd-lint.toml").write_text(shown)
    settings = load_settings({}, cwd=tmp_path, environ={}).settings
    assert settings.columns == {"prompt": "question_text", "response": "reply"}
