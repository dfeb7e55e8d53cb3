from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sqsd_lint.bundle import importer, verify
from sqsd_lint.cli.app import main
from sqsd_lint.errors import RecipeError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SQSD_LINT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


class Recorder:
    """A function that remembers how it was called and answers with a bundle at `root`."""

    def __init__(self, root: str) -> None:
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self._root = Path(root)

    def __call__(self, *args: Any, **kwargs: Any) -> SimpleNamespace:
        self.args, self.kwargs = args, kwargs
        return SimpleNamespace(root=self._root, manifest=SimpleNamespace(reach={}))


def test_list_of_an_empty_cache(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqsd_lint.resources.bundles_dir", lambda: Path("none"))
    assert main(["bundle", "list"]) == 0
    assert "No bundles" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["show", "verify", "remove"])
def test_a_bundle_that_is_not_there(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", command, "missing"]) == 3
    assert "missing" in capsys.readouterr().err


def test_verify_says_everything_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine").mkdir()
    found = [verify.BundleFault("danger", "does not fit"), verify.BundleFault("x\x1b", "bad")]
    monkeypatch.setattr(verify, "verify", lambda folder, **_: found if folder == Path("mine") else [])
    assert main(["bundle", "verify", "mine"]) == 3
    assert capsys.readouterr().out == "✗ danger  does not fit\n✗ x\\x1b  bad\n"


def test_verify_of_a_good_bundle(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    monkeypatch.setattr(verify, "verify", lambda folder, **_: [])
    monkeypatch.setattr(verify, "reach_of", lambda folder: {"danger": 0.87, "safety": 1.0})
    assert main(["bundle", "verify", "mine"]) == 0
    assert capsys.readouterr().out == "✓ mine: nothing is wrong; reach: danger 87%, safety 100%\n"


def test_import(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake = Recorder("out")
    monkeypatch.setattr(importer, "import_bundle", fake)
    args = ["bundle", "import", "--model", "org/m", "--danger", "d", "--safety", "s", "--initial", "i"]
    assert main([*args, "--output", "out", "--safety-scaling", "0.8", "--metric", "dot"]) == 0
    assert fake.args == ("org/m", Path("d"), Path("s"), Path("i"), None)
    assert fake.kwargs["output"] == Path("out")
    assert fake.kwargs["safety_scaling"] == 0.8
    assert (fake.kwargs["metric"], fake.kwargs["expansion"]) == ("dot", "paper")
    assert "sqsd-lint bundle show out" in capsys.readouterr().out
    assert main([*args, "--output", "out", "--metric", "angle"]) == 2


def test_install_keeps_the_bundle_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Recorder("out")
    kept = Recorder("cache/bundles/out")
    monkeypatch.setattr(importer, "import_bundle", fake)
    monkeypatch.setattr("sqsd_lint.bundle.installed.install", kept)
    args = [
        "bundle",
        "import",
        "--model",
        "m",
        "--danger",
        "d",
        "--safety",
        "s",
        "--initial",
        "i",
        "-o",
        "out",
    ]
    assert main(args) == 0
    assert not kept.args
    assert main([*args, "--install"]) == 0
    assert kept.args == (Path("out"),)


def test_build(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Recorder("out")
    # Importing the real one takes torch.
    monkeypatch.setitem(sys.modules, "sqsd_lint.training.build", SimpleNamespace(build_bundle=fake))
    asked = {}

    def load(path: Path, **given: str | None) -> SimpleNamespace:
        asked.update(given, path=path)
        return SimpleNamespace(adapters=())

    monkeypatch.setattr("sqsd_lint.training.recipe.load_recipe", load)
    args = ["bundle", "build", "--recipe", "r.json", "--output", "out", "--data", "rows", "--device", "cpu"]
    assert main(args) == 0
    assert asked == {"path": Path("r.json"), "model": None, "quantize": None}
    assert main([*args, "--model", "org/other", "--quantize", "4bit"]) == 0
    assert asked == {"path": Path("r.json"), "model": "org/other", "quantize": "4bit"}
    assert fake.args == (SimpleNamespace(adapters=()), Path("out"))
    assert fake.kwargs["data_dir"] == Path("rows")
    assert fake.kwargs["device"] == "cpu"
    assert fake.kwargs["cache_dir"] == Path("cache").resolve()


def test_a_wrong_recipe_is_exit_2(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: str | None) -> None:
        raise RecipeError(f"{path}: no such key")

    monkeypatch.setitem(sys.modules, "sqsd_lint.training.build", SimpleNamespace(build_bundle=None))
    monkeypatch.setattr("sqsd_lint.training.recipe.load_recipe", refuse)
    assert main(["bundle", "build", "--recipe", "r.json", "--output", "out"]) == 2


@pytest.fixture
def calibrating(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """What `bundle calibrate` is asked for, in place of scoring rows."""
    monkeypatch.setattr(
        "sqsd_lint.run.calibrate.reference_rows", lambda files, settings, rows: dict.fromkeys(files, rows)
    )
    monkeypatch.setattr("sqsd_lint.run.calibrate.shortcomings", lambda made, added: ["few rows"])
    fake = Recorder("out")
    monkeypatch.setattr("sqsd_lint.run.calibrate.calibrate", fake)
    return fake


def test_calibrate(
    calibrating: Recorder, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shutil.copytree(tiny_bundle, tmp_path / "out")
    args = [
        "bundle",
        "calibrate",
        str(out),
        "--benign",
        "b",
        "--benign",
        "c",
        "--harmful",
        "h",
        "--rows",
        "500",
    ]
    assert main([*args, "--dtype", "float32"]) == 0
    assert calibrating.args[:2] == (str(out), {"benign": {"b": 500, "c": 500}, "harmful": {"h": 500}})
    assert calibrating.args[2].dtype == "float32"
    assert "few rows" in capsys.readouterr().err


def test_calibrate_never_writes_into_the_installed_package(
    calibrating: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = ["bundle", "calibrate", "smollm2-135m-default", "--benign", "b"]
    assert main(named) == 2
    assert "--output DIR" in capsys.readouterr().err
    copy = tmp_path / "copy"
    assert main([*named, "--output", str(copy)]) == 0
    assert calibrating.args[0] == str(copy)
    assert (copy / "harm" / "adapter_model.safetensors").is_file()


def test_a_result_alone_is_not_written_into_the_installed_package_either(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = []
    monkeypatch.setattr("sqsd_lint.bundle.validation.read_result", lambda path, bundle: path.name)
    monkeypatch.setattr(
        "sqsd_lint.bundle.validation.store_validation",
        lambda bundle, tried: kept.append((bundle.root, tried)) or bundle,
    )
    alone = ["bundle", "calibrate", "--validation", "result.json"]
    assert main([*alone, "--from", "default"]) == 2
    assert "part of the installed package" in capsys.readouterr().err
    copy = tmp_path / "copy"
    assert main([*alone, "--from", "default", "--output", str(copy)]) == 0
    assert kept == [(copy, "result.json")]


def test_the_bundle_to_calibrate_is_named_once(
    calibrating: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = ["--benign", "b", "--add", "--output", str(tmp_path / "copy")]
    assert main(["bundle", "calibrate", *rest]) == 2
    assert main(["bundle", "calibrate", "default", "--from", "default", *rest]) == 2
    assert "name one bundle to calibrate" in capsys.readouterr().err
    assert main(["bundle", "calibrate", "--from", "default", *rest]) == 0
    assert calibrating.kwargs["add"] is True


def test_calibrate_takes_reference_sets_from_files_or_from_a_recipe() -> None:
    assert main(["bundle", "calibrate", "out"]) == 2
    assert main(["bundle", "calibrate", "out", "--benign", "b", "--recipe", "r.json"]) == 2
