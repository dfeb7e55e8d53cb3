"""`sqsd-lint init`: what it writes is valid, what is there stays, and a second run has nothing to do."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sqsd_lint._version import __version__
from sqsd_lint.cli.app import main
from sqsd_lint.run import set_up
from sqsd_lint.run.set_up import FILES, TORCH, TORCH_INDEX, SetUpChoices, changes, hook_block
from tests.hooks.conftest import BIN, ROOT

CHAT = {"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("SQSD_LINT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    for name, row in {
        "data/train/a.jsonl": CHAT,
        "data/b.jsonl": {"instruction": "a", "output": "b"},
        "extra.jsonl": CHAT,
        "logs/c.jsonl": {"level": "info", "event": "x"},
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(row) + "\n")
    return tmp_path


def init(*args: str) -> int:
    return main(["init", "--no-sample", "--yes", *args])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_data_is_found_with_its_layouts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init() == 0
    out = capsys.readouterr().out
    assert "data: 1 file, alpaca" in out
    assert "data/train: 1 file, messages" in out
    assert "logs: 1 file, no known layout" in out
    assert 'paths = ["data", "extra.jsonl"]' in Path("sqsd-lint.toml").read_text()
    assert main(["config", "show"]) == 0


def test_everything_is_written_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(set_up, "OWNER", "acme")
    monkeypatch.setattr(set_up, "templates_dir", lambda: templates(folder.parent / "templates"))
    arguments = ("--pre-commit", "--github", "--gitlab")
    assert init(*arguments, "--diff") == 0
    assert not Path("sqsd-lint.toml").exists()
    capsys.readouterr()
    assert init(*arguments) == 0
    steps = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next: ")]
    assert steps[0].startswith("next: `git add sqsd-lint.toml .pre-commit-config.yaml .github/workflows/")
    hooks = yaml.safe_load(Path(".pre-commit-config.yaml").read_text())
    (hook,) = hooks["repos"][0]["hooks"]
    assert hook["additional_dependencies"][0] == f"sqsd-lint[local]=={__version__}"
    workflow = yaml.safe_load(Path(".github/workflows/sqsd-lint.yml").read_text())
    (step,) = [step for step in workflow["jobs"]["lint"]["steps"] if "sqsd-lint" in step.get("uses", "")]
    assert step["uses"] == f"acme/sqsd-lint@v{__version__}"
    assert step["with"]["paths"].split() == ["data", "extra.jsonl"]
    job = yaml.safe_load(Path(".gitlab/sqsd-lint.yml").read_text())
    assert job["variables"]["SQSD_LINT_VERSION"] == __version__
    assert yaml.safe_load(Path(".gitlab-ci.yml").read_text()) == {
        "include": [{"local": ".gitlab/sqsd-lint.yml"}]
    }
    before = contents(folder)
    assert init(*arguments) == 0
    assert contents(folder) == before


def templates(folder: Path) -> Path:
    """The examples of a repository whose account is set."""
    folder.mkdir(exist_ok=True)
    for name in ("github-workflow.yml", "github-workflow-pypi.yml", "gitlab-ci.yml"):
        text = (ROOT / "examples" / name).read_text()
        (folder / name).write_text(re.sub(r"[\w-]+/sqsd-lint@COMMIT", "acme/sqsd-lint@COMMIT", text))
    return folder


GITHUB = Path(".github/workflows/sqsd-lint.yml")


def workflow_steps() -> list[dict[str, Any]]:
    """Return the steps of the job that lints, of the workflow that was written."""
    steps: list[dict[str, Any]] = yaml.safe_load(GITHUB.read_text())["jobs"]["lint"]["steps"]
    return steps


def test_without_an_address_of_the_action_the_release_is_installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(set_up, "OWNER", "OWNER")
    assert init("--github") == 0
    assert "OWNER" not in GITHUB.read_text()
    assert not [step for step in workflow_steps() if "sqsd-lint" in step.get("uses", "")]
    install, check = (step["run"] for step in workflow_steps() if "run" in step)
    assert f'"torch=={TORCH}" --index-url {TORCH_INDEX}' in install
    assert f'"sqsd-lint[local]=={__version__}"' in install
    # Neither rows nor rules of the pull request's own choosing: its base has the paths, too.
    assert check.splitlines()[-2].startswith('sqsd-lint check --no-progress --changed-since "$BASE"')
    assert '--policy-ref "$BASE" --no-inline-suppressions' in check
    for text in GITHUB.read_text().splitlines():
        assert "key" not in text or __version__ in text


def test_the_repository_of_the_action_can_be_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(set_up, "OWNER", "OWNER")
    assert init("--github", "--action-repo", "no repository") == 2
    assert "--action-repo no repository: no name of a repository" in capsys.readouterr().err
    assert not Path("sqsd-lint.toml").exists()  # all or nothing
    assert init("--action-repo", "acme/linter") == 0
    assert [step["uses"] for step in workflow_steps() if step.get("id") == "lint"] == [
        f"acme/linter@v{__version__}"
    ]


@pytest.mark.parametrize("owner", ["OWNER", "acme"])
def test_a_workflow_whose_rows_a_service_scores_needs_no_torch(
    owner: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(set_up, "OWNER", owner)
    monkeypatch.setattr(set_up, "templates_dir", lambda: templates(folder.parent / "templates"))
    assert init("--github", "--scorer", "https://scorer.example.org") == 0
    assert yaml.safe_load(GITHUB.read_text())["jobs"]["lint"]["env"] == {
        "SQSD_LINT_SCORER": "https://scorer.example.org",
        "SQSD_LINT_SCORER_TOKEN": "${{ secrets.SQSD_LINT_SCORER_TOKEN }}",
    }
    assert "torch" not in GITHUB.read_text()
    assert "[local]" not in GITHUB.read_text()
    assert "secret SQSD_LINT_SCORER_TOKEN" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options", [(), ("--action-repo", "acme/linter"), ("--scorer", "https://s.example.org")]
)
def test_a_validator_accepts_the_workflow(options: tuple[str, ...], folder: Path) -> None:
    validator = shutil.which("action-validator")
    if validator is None:
        pytest.skip("npm install -g @action-validator/core @action-validator/cli")
    assert init("--github", *options) == 0
    done = subprocess.run([validator, GITHUB], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "there",
    [
        "repos:\n  - repo: https://example.org/x\n    rev: v1\n    hooks: [{id: x}]\n",
        "repos:\n- repo: https://example.org/x\n  rev: v1\n  hooks:\n  - id: x\n",
        "# ours\nfail_fast: true\nrepos: []\n",
        "repos:   # all of them\n  # a remark\n  - repo: meta\n    hooks: [{id: identity}]\nci: {skip: []}\n",
        "",
    ],
)
def test_a_list_of_hooks_is_extended(there: str, folder: Path) -> None:
    path = Path(".pre-commit-config.yaml")
    path.write_text(there)
    old = yaml.safe_load(there) or {"repos": []}
    assert init("--pre-commit") == 0
    new = yaml.safe_load(path.read_text())
    assert [repo for repo in new["repos"] if repo["hooks"][0]["id"] != "sqsd-lint"] == old["repos"]
    assert len(new["repos"]) == len(old["repos"]) + 1
    assert {key: value for key, value in new.items() if key != "repos"} == {
        key: value for key, value in old.items() if key != "repos"
    }
    done = subprocess.run([BIN / "pre-commit", "validate-config", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    before = path.read_bytes()
    assert init("--pre-commit") == 0
    assert path.read_bytes() == before


def test_the_hook_is_that_of_the_manifest_and_knows_the_scorer() -> None:
    manifest = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())[0]
    ((hook,),) = [repo["hooks"] for repo in yaml.safe_load(hook_block())]
    for key in ("id", "entry", "language", "files", "stages", "require_serial"):
        assert hook[key] == manifest[key], key
    assert hook["files"] == FILES
    assert hook["additional_dependencies"][1:] == [
        f"--extra-index-url={TORCH_INDEX}",
        f"torch=={TORCH}+cpu; sys_platform == 'linux'",
    ]
    assert f"torch=={TORCH}\n" in (ROOT / "constraints.txt").read_text()
    ((remote,),) = [repo["hooks"] for repo in yaml.safe_load(hook_block("https://scorer.example.org"))]
    assert remote["additional_dependencies"] == [f"sqsd-lint=={__version__}"]


def test_a_scorer_is_configured_and_needs_no_torch(folder: Path) -> None:
    assert init("--scorer", "https://scorer.example.org", "--gitlab") == 0
    assert 'scorer = "https://scorer.example.org"' in Path("sqsd-lint.toml").read_text()
    job = Path(".gitlab/sqsd-lint.yml").read_text()
    assert 'install --quiet "torch' not in job
    assert '"sqsd-lint==$SQSD_LINT_VERSION"' in job


def test_a_configuration_and_a_pipeline_that_are_there_stay(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("pyproject.toml").write_text('[tool.sqsd-lint]\npaths = ["data"]\n')
    Path(".gitlab-ci.yml").write_text("test: {script: [true]}\n")
    assert init("--gitlab", "--scorer", "https://scorer.example.org") == 0
    out = capsys.readouterr().out
    assert (
        'pyproject.toml: there is a configuration already: set scorer = "https://scorer.example.org"' in out
    )
    assert ".gitlab-ci.yml: add to it by hand: include:" in out
    assert Path(".gitlab-ci.yml").read_text() == "test: {script: [true]}\n"
    assert not Path("sqsd-lint.toml").exists()


def test_the_template_has_the_version_of_the_package() -> None:
    job = yaml.safe_load((ROOT / "examples" / "gitlab-ci.yml").read_text())
    assert job["variables"] == {
        "SQSD_LINT_VERSION": __version__,
        "TORCH_VERSION": TORCH,
        "TORCH_INDEX": TORCH_INDEX,
    }


@pytest.mark.parametrize("options", [(), ("--scorer", "https://scorer.example.org")])
def test_gitlab_s_schema_accepts_the_job(options: tuple[str, ...], folder: Path) -> None:
    pytest.importorskip("check_jsonschema", reason="pip install check-jsonschema: it brings GitLab's schema")
    assert init("--gitlab", *options) == 0
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.gitlab-ci"]
    command += ["--data-transform", "gitlab-ci", ".gitlab-ci.yml", ".gitlab/sqsd-lint.yml"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_sample_is_linted_and_the_cost_is_told(
    folder: Path,
    tiny_bundle: Path,
    tiny_model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [{"question": f"What is {i}?", "answer": f"It is {'so ' * i}."} for i in range(30)]
    Path("data/b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, value in {
        "BUNDLE": tiny_bundle,
        "MODEL": tiny_model_folder,
        "DEVICE": "cpu",
        "DTYPE": "float32",
        "THRESHOLD": "-1000",
        "WARNING_THRESHOLD": "-1001",
        "CACHE_DIR": folder / "cache",
    }.items():
        monkeypatch.setenv(f"SQSD_LINT_{name}", str(value))
    assert main(["init", "--yes", "--no-progress"]) == 0
    out, err = capsys.readouterr()
    assert "a sample: scored 20 of 20 rows, 20 errors and 0 warnings" in out, err
    assert re.search(
        r"all rows: 3 files, .*: 32 rows; (19|20) cached, 1[12] to score, about \d+ s by earlier", out
    )
    assert main(["init", "--yes", "--no-progress", "--no-sample", "--baseline"]) == 0
    assert ".sqsd-lint-baseline.json: 32 findings accepted" in capsys.readouterr().out
    assert main(["init", "--yes", "--no-progress", "--no-sample", "--baseline"]) == 0
    assert "is there already" in capsys.readouterr().out


def test_nothing_is_found_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [change.name for change in changes(SetUpChoices(), [])] == ["sqsd-lint.toml"]
    assert main(["init", "--yes"]) == 0
    assert 'paths = ["."]' in Path("sqsd-lint.toml").read_text()
