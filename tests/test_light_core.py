"""The wheel alone, in an environment with its own dependencies and nothing that scores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import venv
from dataclasses import replace
from pathlib import Path

import pytest

from sqsd_lint.run import check as run_check
from sqsd_lint.run import score as run_score
from sqsd_lint.types import ScoredRow
from tests.hooks.conftest import Repository, clean_environment, text
from tests.run.conftest import ROWS, write
from tests.server.running import service, serving_settings

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "transformers", "datasets", "peft", "accelerate", "gguf", "matplotlib"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment into which pip has installed the wheel of this checkout."""
    root = tmp_path_factory.mktemp("core")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", root, ROOT]
    subprocess.run([*map(str, build)], check=True, capture_output=True, cwd=root)
    (wheel,) = root.glob("*.whl")
    home = root / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    begun = time.perf_counter()
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install", "--quiet"]
    done = subprocess.run([*pip, str(wheel)], capture_output=True, text=True, check=False)
    if "No matching distribution" in done.stderr or "Failed to establish" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    size = sum(each.lstat().st_size for each in home.rglob("*") if not each.is_dir())
    print(f"light core: {size / 1e6:,.0f} MB in {time.perf_counter() - begun:.0f} s")
    return home / "bin"


def lint(
    core: Path, *arguments: object, code: int, cwd: Path, **env: str
) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SQSD_LINT_", "PYTHON"))}
    command = [str(core / "sqsd-lint"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**clean, **env}, check=False)
    assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def test_nothing_that_scores_is_installed(core: Path) -> None:
    code = (
        "import importlib.metadata as m, json;print(json.dumps([d.name.lower() for d in m.distributions()]))"
    )
    done = subprocess.run([core / "python", "-I", "-c", code], capture_output=True, text=True, check=True)
    names = set(json.loads(done.stdout))
    assert "sqsd-lint" in names
    assert not names & HEAVY


def test_rules_settings_bundles_and_formats_are_shown(core: Path, tmp_path: Path) -> None:
    assert "high-risk-sample" in lint(core, "rule", "SQSD101", code=0, cwd=tmp_path).stdout
    assert "scorer" in lint(core, "config", "show", code=0, cwd=tmp_path).stdout
    shown = lint(core, "bundle", "show", "--json", code=0, cwd=tmp_path).stdout
    assert (
        json.loads(shown)["manifest"]["id"]
        if "manifest" in json.loads(shown)
        else json.loads(shown)["digest"]
    )


def test_a_check_from_the_cache(
    core: Path, tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "rows.jsonl", *ROWS)
    settings = serving_settings(tiny_bundle, tiny_model_folder, tmp_path / "cache")
    lines = {"threshold": "1000", "warning_threshold": "999"}
    run_check.check(replace(settings, paths=(str(file),), **lines))  # type: ignore[arg-type]
    options = ["--isolated", "--bundle", tiny_bundle, "--model", tiny_model_folder, "--threshold", "1000"]
    options += ["--warning-threshold", "999", "--cache-dir", tmp_path / "cache"]
    report = tmp_path / "report.html"
    lint(core, "check", file, *options, "--output-format", f"html:{report}", code=0, cwd=tmp_path)
    assert "8 of 8" in report.read_text("utf-8")
    write(file, *ROWS, {"question": "Is this one new?", "answer": "Yes."})
    done = lint(core, "check", file, *options, code=3, cwd=tmp_path)
    assert 'pip install "sqsd-lint[local]"' in done.stderr


def test_a_check_and_scores_by_a_service(
    core: Path, two_bundles: tuple[str, str], tiny_model_folder: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "rows.jsonl", *ROWS)
    settings = serving_settings(Path(two_bundles[0]), tiny_model_folder, tmp_path / "served")
    here = run_check.check(replace(settings, paths=(str(file),), threshold="p60"))
    with service(settings) as url:
        env = {"SQSD_LINT_SCORER": url, "SQSD_LINT_CACHE_DIR": str(tmp_path / "cache")}
        options = ["--threshold", "p60", "--output-format", "json"]
        done = lint(core, "check", file, *options, code=1, cwd=tmp_path, **env)
        report = json.loads(done.stdout)
        assert report["coverage"]["scored"] == 8
        assert len(report["violations"]) == len(here.violations)
        rows = lint(core, "score", file, code=0, cwd=tmp_path, **env).stdout.splitlines()
        for line, row in zip(rows, here.rows, strict=True):
            assert json.loads(line)["sqsd"] == pytest.approx(row.score.sqsd, abs=1e-5)
        lint(core, "baseline", "create", file, "--threshold", "p60", code=0, cwd=tmp_path, **env)
        assert "rows are sent there" in lint(core, "doctor", code=0, cwd=tmp_path, **env).stdout


def test_a_hook_blocks_a_commit_by_scores_of_a_service(
    core: Path, tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "rows.jsonl", *ROWS)
    settings = serving_settings(tiny_bundle, tiny_model_folder, tmp_path / "served")
    rows = list(run_score.score(replace(settings, paths=(str(file),))))
    scores = [row.score.sqsd for row in rows if isinstance(row, ScoredRow)]
    order = sorted(range(len(ROWS)), key=scores.__getitem__)
    benign, risky = [ROWS[i] for i in order[:-1]], ROWS[order[-1]]
    line = (scores[order[-2]] + scores[order[-1]]) / 2
    path = tmp_path / "work"
    path.mkdir()
    env = {
        **clean_environment(tmp_path),
        "PATH": f"{core}{os.pathsep}{os.environ['PATH']}",
        "SQSD_LINT_CACHE_DIR": str(tmp_path / "cache"),
        "SQSD_LINT_OUTPUT_FORMAT": "concise",
    }
    work = Repository(path, {name: value for name, value in env.items() if not name.startswith("PYTHON")})
    work.git("init", "--quiet", "--initial-branch=main")
    with service(settings) as url:
        work.env["SQSD_LINT_SCORER"] = url
        work.commit({"sqsd-lint.toml": f"threshold = {line!r}\nwarning-threshold = {line!r}\n"})
        work.run("sqsd-lint", "hook", "install")
        work.write("train.jsonl", text(*benign))
        work.git("add", "train.jsonl")
        work.git("commit", "--message", "benign")
        work.write("train.jsonl", text(*benign, risky))
        done = work.run("git", "commit", "--all", "--message", "risky", expect=1)
        assert f"train.jsonl:{len(ROWS)}: SQSD101" in done.stdout + done.stderr
        assert work.git("rev-list", "--count", "HEAD") == "2"
    # Where nobody answers, no row passes.
    work.write("train.jsonl", text(*benign, {"question": "Is it new?", "answer": "It is new."}))
    done = work.run("git", "commit", "--all", "--message", "new", expect=1)
    assert "cannot be reached" in done.stdout + done.stderr
    assert work.git("rev-list", "--count", "HEAD") == "2"


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("serve", "--isolated"), "server"),
        (("explain", "rows.jsonl:1", "--isolated"), "local"),
        (("check", "rows.jsonl", "--isolated"), "local"),
    ],
)
def test_what_is_missing_is_one_error_with_one_command(
    core: Path, arguments: tuple[str, ...], extra: str, tmp_path: Path
) -> None:
    write(tmp_path / "rows.jsonl", ROWS[0])
    cache = {"SQSD_LINT_CACHE_DIR": str(tmp_path / "cache")}
    done = lint(core, *arguments, code=3, cwd=tmp_path, **cache)
    assert f'help: `pip install "sqsd-lint[{extra}]"`' in done.stderr
    assert "Traceback" not in done.stderr
