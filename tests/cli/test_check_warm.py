"""Count what a run that the cache or git answers loads and starts: no heavy library, and few processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.rows import read_samples
from sqsd_lint.types import Sample, Score
from tests.repository import Repository

HEAVY = ("torch", "transformers", "datasets", "peft", "accelerate", "numpy", "pyarrow", "jsonschema")
ROWS = 2000
MODULES = 600  # 410 at the time of writing, two thirds of them Python's own and typer's
PROCESSES = 40  # git's: 26 where a policy's commit is read too, 7 without, however many rows there are
_CODE = (
    "import json, sys\n"
    "started = []\n"
    "sys.addaudithook(lambda event, _: started.append(event) if event == 'subprocess.Popen' else None)\n"
    "from sqsd_lint.cli.app import main\n"
    "code = main(sys.argv[1:])\n"
    f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
    "print(json.dumps([code, loaded, len(sys.modules), len(started)]), file=sys.stderr)\n"
)


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A repository of 2,000 rows whose scores by the embedded bundle the cache knows, made up."""
    for name in [name for name in os.environ if name.startswith("SQSD_LINT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SQSD_LINT_CACHE_DIR", str(tmp_path / "cache"))
    made = Repository.here(tmp_path / "repo", monkeypatch)
    made.rows("data/train.jsonl", *range(ROWS))
    made.commit()
    bundle_run = BundleRun(Settings(cache_dir=str(tmp_path / "cache")))
    made.rows("data/more.jsonl", *range(ROWS, ROWS + 3))
    samples = [
        sample
        for name in ("data/train.jsonl", "data/more.jsonl")
        for sample in read_samples(name, bundle_run.settings)
        if isinstance(sample, Sample)
    ]
    assert len(samples) == ROWS + 3
    bundle_run.scorer.cache.put(Score(s.fingerprint, -5.0, 1.0, 0.0, 100) for s in samples)
    os.unlink("data/more.jsonl")
    return made


def run(*args: str) -> tuple[dict[str, Any], int, int]:
    """Return a check's coverage, the modules that it loads and the processes that it starts."""
    done = subprocess.run(
        [sys.executable, "-c", _CODE, "check", "--output-format", "json", *args],
        capture_output=True,
        text=True,
    )
    code, loaded, modules, processes = json.loads(done.stderr.splitlines()[-1])
    assert (code, loaded) == (0, []), done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report["coverage"], modules, processes


@pytest.mark.parametrize("case", ["all", "nothing", "reordered", "new", "since"])
def test_a_warm_run(case: str, repo: Repository) -> None:
    expected = {"rows": 0, "scored": 0, "cached": 0, "unchanged": 0}
    args = ["--staged"]
    if case == "all":
        args = ["data"]
        expected |= {"rows": ROWS, "scored": ROWS, "cached": ROWS}
    elif case == "reordered":
        repo.rows("data/train.jsonl", *reversed(range(ROWS)))
        expected |= {"unchanged": ROWS}
    elif case in ("new", "since"):
        repo.rows("data/train.jsonl", *reversed(range(ROWS + 3)))
        args = args if case == "new" else ["--changed-since", "HEAD", "--policy-ref", "HEAD"]
        expected |= {"rows": 3, "scored": 3, "cached": 3, "unchanged": ROWS}
    repo.git("add", "-A")
    coverage, modules, processes = run(*args)
    assert {key: coverage[key] for key in expected} == expected
    assert modules < MODULES
    assert processes < PROCESSES
