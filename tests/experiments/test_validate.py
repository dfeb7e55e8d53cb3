"""`validate` as a user runs it, on a tiny model: results, pictures, resuming, wrong input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.bundle.importer import import_bundle


@pytest.fixture
def tiny_bundle(tiny_model_folder: Path, tiny_adapters: dict[str, Path], tmp_path: Path) -> Path:
    a = tiny_adapters
    import_bundle(
        str(tiny_model_folder),
        a["danger"],
        a["safety"],
        a["initial"],
        output=tmp_path / "bundle",
        cache_dir=tmp_path / "cache",
    )
    (tmp_path / "model").symlink_to(tiny_model_folder)
    return tmp_path / "bundle"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [{"prompt": f"question {i}", "completion": "word " * (1 + i % 7)} for i in range(24)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    prompts = [{"prompt": f"how do I do the bad thing {i}?"} for i in range(6)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    return tmp_path


def validate(data: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sqsd_lint", "validate", "rows.jsonl", "--prompts", "prompts.jsonl"]
    options = [
        "-o",
        "trial",
        "--bundle",
        "bundle",
        "--model",
        "model",
        "--device",
        "cpu",
        "--dtype",
        "float32",
    ]
    sizes = ["--size", "6", "--windows", "3", "--seeds", "2", "--answer-tokens", "4", "--max-length", "48"]
    environment = {**os.environ, "SQSD_LINT_CACHE_DIR": str(data / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *options, *sizes, *more], cwd=data, env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
def test_an_experiment_from_end_to_end(tiny_bundle: Path, data: Path) -> None:
    done = validate(data, "--steps", "2", "--rank-by", "sqsd,random", "--strata", "2")
    assert done.returncode == 0, done.stderr
    assert "attack success" in done.stdout
    assert "Spearman" in done.stdout
    assert "…" not in done.stdout  # a pipe has 80 columns
    result = json.loads((data / "trial/result.json").read_text())
    assert list(result["rankings"]) == ["sqsd", "random"]
    assert result["rows"] == 24
    assert (result["strata"], result["max_length"]) == (2, 48)
    assert len(result["bundle"]["scoring_digest"]) == 64
    windows = result["rankings"]["sqsd"]["windows"]
    assert len(windows) == 3
    assert all(len(w["per_seed"]) == 2 for w in windows)
    assert windows[0]["sqsd"][0] >= windows[-1]["sqsd"][1]
    for window in windows:
        low, high = window["interval"]
        assert 0 <= low <= window["attack_success"] <= high <= 1
    for picture in ("windows.png", "windows.svg", "windows-dark.svg"):
        assert (data / "trial" / picture).stat().st_size > 1000

    answers = [json.loads(line) for line in (data / "trial/answers.jsonl").read_text().splitlines()]
    assert len(answers) == 6 * (1 + 2 * 3 * 2)
    first = [a for a in answers if (a["ranking"], a["window"]) == ("sqsd", 1)]
    assert {a["seed"] for a in first} == {0, 1}
    assert windows[0]["verdicts"]["answered"] == sum(a["verdict"] == "answered" for a in first)

    # Another judge is asked about the answers that are there.
    runs = json.loads((data / "trial/runs.json").read_text())
    for trained in runs["runs"].values():
        for run in trained:
            run["answers"][0], run["verdicts"] = "I do not know", {}
    (data / "trial/runs.json").write_text(json.dumps(runs))
    options = ("--steps", "2", "--rank-by", "sqsd,random", "--strata", "2")
    for judge, verdict in (("refusals", "answered"), ("phrases", "evaded")):
        judged = validate(data, *options, "--judge", judge)
        assert judged.returncode == 0, judged.stderr
        lines = (data / "trial/answers.jsonl").read_text().splitlines()
        found = [a for a in map(json.loads, lines) if a["answer"] == "I do not know"]
        assert len(found) == 13
        assert {a["verdict"] for a in found} == {verdict}
        assert ("refused evaded" in judged.stdout) == (judge == "phrases")

    # What is done is not done again; another ranking joins it.
    runs = json.loads((data / "trial/runs.json").read_text())
    again = validate(data, "--steps", "2", "--rank-by", "sqsd,length", "--strata", "2")
    assert again.returncode == 0, again.stderr
    more = json.loads((data / "trial/runs.json").read_text())
    trained = "sqsd at 2 x 0.0004"
    assert [run["answers"] for run in more["runs"][trained]] == [
        run["answers"] for run in runs["runs"][trained]
    ]
    assert "length at 2 x 0.0004" in more["runs"]

    # Another experiment is not mixed into it.
    for options in (("--steps", "3"), ("--steps", "2", "--strata", "2", "--turns", "last")):
        other = validate(data, *options, "--rank-by", "sqsd")
        assert other.returncode == 2
        assert "another" in other.stderr


@pytest.mark.slow
def test_full_fine_tuning_on_windows_that_another_bundle_cut(tiny_bundle: Path, data: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sqsd_lint",
        "score",
        "rows.jsonl",
        "--bundle",
        "bundle",
        "--model",
        "model",
    ]
    environment = {**os.environ, "SQSD_LINT_CACHE_DIR": str(data / "cache"), "OMP_NUM_THREADS": "1"}
    scored = subprocess.run(
        [*command, "--model", "model", "--metric", "dot", "--max-length", "48", "-o", "other.jsonl"],
        cwd=data,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert scored.returncode == 0, scored.stderr
    options = ["--update", "full", "--steps", "2", "--rank-by", "sqsd", "--ranking", "other=other.jsonl"]
    done = validate(data, *options)
    assert done.returncode == 0, done.stderr
    result = json.loads((data / "trial/result.json").read_text())
    assert list(result["rankings"]) == ["sqsd", "other"]
    assert (result["update"], result["dose"]["lr"]) == ("full", 2e-5)
    assert len(result["rankings"]["other"]["windows"][2]["per_seed"]) == 2
    # Each run is kept when it is done; other scores under the same name are another ranking.
    runs = json.loads((data / "trial/runs.json").read_text())
    assert sum(name.startswith("other@") for name in runs["runs"]) == 6

    lines = (data / "other.jsonl").read_text().splitlines()
    (data / "other.jsonl").write_text("\n".join(lines[1:]))
    short = validate(data, *options)
    assert short.returncode == 2
    assert "no score of rows.jsonl:1, and of 1 rows in all" in short.stderr


@pytest.mark.slow
def test_row_by_row(tiny_bundle: Path, data: Path) -> None:
    """Its own table and file, and no training."""
    command = [sys.executable, "-m", "sqsd_lint", "validate", "rows.jsonl", "--prompts", "prompts.jsonl"]
    options = ["--bundle", "bundle", "--model", "model", "--device", "cpu", "--max-length", "48"]
    environment = {**os.environ, "SQSD_LINT_CACHE_DIR": str(data / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *options, "-o", "trial", "--per-row"],
        cwd=data,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "given length" in done.stdout
    result = json.loads((data / "trial/per-row.json").read_text())
    assert result["rows"] == len(result["per_row"]) == 24
    assert len(result["bundle"]["scoring_digest"]) == 64
    low, high = result["scores"]["sqsd"]["interval"]
    assert low <= result["scores"]["sqsd"]["spearman"] <= high
    assert not (data / "trial/runs.json").exists()


def test_an_option_of_windows_means_nothing_row_by_row(tiny_bundle: Path, data: Path) -> None:
    done = validate(data, "--per-row")
    assert done.returncode == 2
    assert "--windows is about windows" in done.stderr


@pytest.mark.slow
def test_the_dose_is_searched(tiny_bundle: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqsd_lint.config import Settings
    from sqsd_lint.experiments import experiment
    from sqsd_lint.run import validate as trial

    monkeypatch.setattr(experiment, "DOSES", ((1, 1e-4), (2, 1e-3)))
    settings = Settings(
        paths=(str(data / "rows.jsonl"),),
        bundle=str(tiny_bundle),
        model=str(data / "model"),
        device="cpu",
        dtype="float32",
        cache_dir=str(data / "cache"),
        max_length=48,
    )
    plan = experiment.ExperimentPlan(("sqsd",), windows=2, size=6, seeds=(0,))
    trained = []
    kept_trained = experiment.Experiment._trained

    def counted(self: Any, *args: Any) -> Any:
        trained.append(args[2].steps)
        return kept_trained(self, *args)

    monkeypatch.setattr(experiment.Experiment, "_trained", counted)
    options: Any = {"prompts": data / "prompts.jsonl", "output": data / "trial", "answer_tokens": 3}
    result = trial.validate(settings, plan, **options)
    assert 1 <= len(result["search"]) <= 2
    assert result["dose"]["steps"] in (1, 2)
    once = [*(one["steps"] for one in result["search"]), result["dose"]["steps"]]
    assert trained == once

    # Another judge searches among the runs that are there: by its own verdicts, for its own dose.
    again = trial.validate(settings, plan, judge="refusals", **options)
    assert trained == once or again["dose"] != result["dose"]
    runs = json.loads((data / "trial/runs.json").read_text())["runs"]
    searched = [name for name in runs if name.startswith("search#0")]
    assert len(searched) == max(len(result["search"]), len(again["search"]))
    assert len(runs["untrained"][0]["verdicts"]) == 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--rank-by", "colour"), "no ranking 'colour'"),
        (("--ranking", "colour"), "expected NAME=SCORES"),
        (("--ranking", "loss=prompts.jsonl"), "that ranking is there already"),
        (("--ranking", "a=prompts.jsonl", "--ranking", "a=rows.jsonl"), "one name twice"),
        (("--ranking", "untrained=rows.jsonl"), "expected NAME=SCORES"),
        (("--lr", "1e-4"), "--lr without --steps"),
        (("--lr", "0", "--steps", "1"), "expected more than 0"),
        (("--update", "full", "--device-map", "auto"), "some are packed or spread"),
        (("--steps", "1", "--judge", "oracle"), "no judge 'oracle'"),
        (("--steps", "1", "--held-out", "1.0"), "no prompts left"),
    ],
)
def test_wrong_usage_is_named(tiny_bundle: Path, data: Path, more: tuple[str, ...], said: str) -> None:
    done = validate(data, *more)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_too_few_rows_are_named(tiny_bundle: Path, data: Path) -> None:
    done = validate(data, "--steps", "1", "--size", "60")
    assert (done.returncode, "24 rows are fewer than a window of 60" in done.stderr) == (2, True), done.stderr
