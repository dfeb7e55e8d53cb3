"""`bundle import`: which options make which call, and which do not go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from sqsd_lint.bundle import importer
from sqsd_lint.bundle.remote import paper_release as release
from sqsd_lint.cli.app import main
from tests.cli.test_bundle import Recorder


def test_whole_models(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Recorder("out")
    monkeypatch.setattr(importer, "import_bundle", fake)
    args = ["bundle", "import", "--base-model", "m", "--danger-model", "d", "--safety", "s", "-o", "out"]
    assert main([*args, "--rank", "4", "--update", "full"]) == 0
    assert fake.args == ("m", Path("d"), Path("s"), None, None)
    assert (fake.kwargs["checkpoints"], fake.kwargs["rank"]) == (["danger"], 4)
    assert (fake.kwargs["update"], fake.kwargs["start"]) == ("full", None)


def test_a_release(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Recorder("out")
    monkeypatch.setattr(release, "import_release", fake)
    assert main(["bundle", "import", "--release", "hf://Wxxxx/SQSD", "-o", "out"]) == 0
    assert fake.args == ("hf://Wxxxx/SQSD",)
    assert (fake.kwargs["model"], fake.kwargs["danger"]) == ("Qwen/Qwen3-8B", None)
    assert (fake.kwargs["safety_scaling"], fake.kwargs["expansion"]) == (1.0, "paper")
    assert main(["bundle", "import", "--release", "r", "--model", "m", "--danger", "D", "-o", "out"]) == 0
    assert (fake.kwargs["model"], fake.kwargs["danger"]) == ("m", "D")


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--release", "r", "--initial", "i", "--rank", "3"], "does not go with --initial, --rank"),
        (["--model", "m", "--danger", "d"], "no safety direction"),
        (["--model", "m", "--danger", "d", "--danger-model", "d"], "--danger and --danger-model"),
        (["--danger", "d", "--safety", "s"], "no base model"),
        (["--model", "m", "--danger", "d", "--safety", "s", "--rank", "3"], "--rank is of whole models"),
    ],
)
def test_options_that_do_not_go_together(
    args: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "import", *args, "-o", "out"]) == 2
    assert complaint in capsys.readouterr().err
