from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.cli.app import main
from sqsd_lint.config import Settings
from sqsd_lint.rules import DEFAULT_BASELINE, BaselineEntry, RemainingFindings, read_baseline
from sqsd_lint.types import Coverage, Report, Severity, Violation, Where
from tests.cli.conftest import FakePipeline
from tests.report.reports import CLEAR

A, B, C = ("a" * 32, "b" * 32, "c" * 32)


def violation(fingerprint: str, rule: str = "SQSD101", file: str = "data.jsonl") -> Violation:
    return Violation(rule, "name", Severity.ERROR, Where(file, 1, 0), "message", fingerprint)


class FakeRun:
    """What `run.check.examine` answers, and the settings that it was asked with."""

    def __init__(self) -> None:
        self.remaining = RemainingFindings((), acceptable=(violation(B), violation(A)))
        self.report: Report = replace(CLEAR, coverage=Coverage(2, 2))
        self.settings = Settings()

    def __call__(self, settings: Settings, *, progress: Any = None) -> tuple[Report, RemainingFindings]:
        self.settings = settings
        return self.report, self.remaining


@pytest.fixture
def run(pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    from sqsd_lint.run import check as real

    Path("data.jsonl").touch()
    fake = FakeRun()
    monkeypatch.setattr(real, "examine", fake)
    return fake


def entries(name: str = DEFAULT_BASELINE) -> set[tuple[str, str]]:
    return {(entry.fingerprint, entry.rule) for entry in read_baseline(name).entries}


def test_create_accepts_every_finding_of_every_row(run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baseline", "create", "data.jsonl", "--threshold", "7"]) == 0
    assert entries() == {(A, "SQSD101"), (B, "SQSD101")}
    assert (run.settings.paths, run.settings.threshold) == (("data.jsonl",), "7")
    assert (run.settings.baseline, run.settings.changed_since, run.settings.staged) == ("", None, False)
    assert capsys.readouterr().out == (
        ".sqsd-lint-baseline.json: 2 findings in 1 file (2 added, 0 dropped)\nscored 2 of 2 rows\n"
    )


def test_create_replaces_a_baseline_only_by_force(run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    Path(DEFAULT_BASELINE).write_text("damaged")
    assert main(["baseline", "create"]) == 2
    assert Path(DEFAULT_BASELINE).read_text() == "damaged"
    assert "exists already" in capsys.readouterr().err
    assert main(["baseline", "create", "--force"]) == 0
    first = Path(DEFAULT_BASELINE).read_bytes()
    assert main(["baseline", "create", "--force"]) == 0
    assert Path(DEFAULT_BASELINE).read_bytes() == first


@pytest.mark.parametrize("action", ["update", "prune"])
def test_what_is_not_there_cannot_be_renewed(
    action: str, run: FakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["baseline", action]) == 2
    assert "there is no baseline .sqsd-lint-baseline.json" in capsys.readouterr().err
    assert main(["baseline", "create"]) == 0
    assert main(["baseline", action, "--force"]) == 2
    Path(DEFAULT_BASELINE).write_text("damaged")
    assert main(["baseline", action]) == 2
    assert "not a baseline" in capsys.readouterr().err


def test_update_adds_and_drops_and_prune_only_drops(run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baseline", "create"]) == 0
    run.remaining = RemainingFindings(
        (), acceptable=(violation(B), violation(C)), stale=(BaselineEntry("data.jsonl", A, "SQSD101"),)
    )
    made = Path(DEFAULT_BASELINE).read_bytes()
    assert main(["baseline", "prune"]) == 0
    assert run.settings.baseline == DEFAULT_BASELINE
    assert entries() == {(B, "SQSD101")}
    Path(DEFAULT_BASELINE).write_bytes(made)
    assert main(["baseline", "update"]) == 0
    assert entries() == {(B, "SQSD101"), (C, "SQSD101")}
    assert "2 findings in 1 file (1 added, 1 dropped)" in capsys.readouterr().out


def test_a_baseline_that_stays_the_same_is_not_touched(
    run: FakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["baseline", "create"]) == 0
    before = Path(DEFAULT_BASELINE).stat().st_mtime_ns
    assert main(["baseline", "update"]) == 0
    assert Path(DEFAULT_BASELINE).stat().st_mtime_ns == before
    assert "(unchanged)" in capsys.readouterr().out


def test_the_file_may_be_named_and_names_are_relative_to_it(run: FakeRun) -> None:
    Path("policy").mkdir()
    assert main(["baseline", "create", "--baseline", "policy/base.json"]) == 0
    document = json.loads(Path("policy/base.json").read_text())
    assert list(document["findings"]) == ["../data.jsonl"]
    assert main(["baseline", "create", "--baseline", "nowhere/base.json"]) == 2


def test_rows_without_a_score_stay_a_failure(run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run.report = replace(
        run.report, violations=(violation("", "SQSD303"), violation(A)), coverage=Coverage(3, 2)
    )
    assert main(["baseline", "create"]) == 3
    assert entries() == {(A, "SQSD101"), (B, "SQSD101")}
    out = capsys.readouterr().out
    assert "not accepted: SQSD303, since a baseline holds no rows without a score" in out
    assert "scored 2 of 3 rows" in out


def test_an_unknown_action_is_wrong_usage(run: FakeRun) -> None:
    assert main(["baseline", "renew"]) == 2


def test_help_names_the_actions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baseline", "--help"]) == 0
    out = capsys.readouterr().out
    for word in ("create", "update", "prune", "--force"):
        assert word in out


def row(i: int, **more: object) -> dict[str, object]:
    return {"question": f"What is {i} plus {i}?", "answer": f"It is {2 * i}.", **more}


@pytest.mark.slow
def test_from_create_to_prune_on_real_rows(
    tiny_bundle: Path,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data.jsonl"
    settings = [
        *("--bundle", str(tiny_bundle), "--model", str(tiny_model_folder), "--device", "cpu"),
        *("--dtype", "float32", "--threshold", "-1000", "--cache-dir", str(tmp_path / "cache"), "--isolated"),
    ]

    def lint(*args: str) -> int:
        return main([*args, *settings])

    def write(*rows: dict[str, object]) -> None:
        data.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")

    def rules() -> list[str]:
        capsys.readouterr()
        lint("check", "data.jsonl", "--output-format", "json")
        return [each["rule"] for each in json.loads(capsys.readouterr().out)["violations"]]

    write(row(1), row(2))
    assert lint("check", "data.jsonl") == 1
    assert lint("baseline", "create", "data.jsonl") == 0
    first = Path(DEFAULT_BASELINE).read_bytes()
    monkeypatch.setenv("SQSD_LINT_BASELINE", DEFAULT_BASELINE)
    assert rules() == []
    write(row(2), {"id": 7, **row(1)})  # reordered, reformatted
    assert rules() == []
    assert lint("baseline", "update", "data.jsonl") == 0
    assert Path(DEFAULT_BASELINE).read_bytes() == first
    write(row(2), row(3), row(4, sqsd_lint={"ignore": ["SQSD101"], "reason": "sums are harmless"}))
    assert sorted(rules()) == ["SQSD101", "SQSD402"]
    assert lint("baseline", "prune", "data.jsonl") == 0
    assert rules() == ["SQSD101"]
    assert lint("baseline", "update", "data.jsonl") == 0
    assert rules() == []
