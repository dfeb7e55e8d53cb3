"""What a check would do is counted without a model, and the sample of a folder is the same every time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.run import check as run_check
from sqsd_lint.run import speed
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.run.plan import plan
from tests.run.conftest import write

Make = Callable[..., Settings]
ROWS = [
    {"question": f"What is {i} and {i}?", "answer": f"It is {'so ' * (i % 4)}{2 * i}."} for i in range(12)
]


def no_model(self: ModelScorer) -> None:
    raise AssertionError("the model was loaded")


def test_a_plan_counts_rows_and_what_the_cache_knows(
    tiny_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    one = write(data / "a.jsonl", *ROWS[:5], "{broken")
    write(data / "b.jsonl", *ROWS[3:], ROWS[11])
    run_check.check(tiny_run(one))
    monkeypatch.setattr(ModelScorer, "_build", no_model)
    found = plan(tiny_run(data))
    assert (found.files, found.rows, found.unscorable, found.complete) == (2, 16, 1, True)
    assert found.bytes == sum(path.stat().st_size for path in data.iterdir())
    (bundle,) = found.bundles
    # Rows that occur twice are counted once: the model scores them once.
    assert (bundle.cached, bundle.rows) == (5, 7)
    assert bundle.characters == sum(len(row["question"]) + len(row["answer"]) for row in ROWS[5:])


def test_a_plan_of_a_few_rows_says_that_there_are_more(tiny_run: Make, tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", *ROWS)
    found = plan(tiny_run(data), most=5)
    assert (found.rows, found.complete) == (5, False)
    assert plan(tiny_run(data), most=12).complete


def test_time_goes_by_earlier_runs_and_else_by_the_machine(tiny_run: Make, tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", *ROWS)
    estimated = plan(tiny_run(data)).bundles[0]
    assert estimated.basis == "estimated"
    assert estimated.seconds is not None
    assert estimated.seconds > 0
    assert plan(tiny_run(data), by_machine=False).seconds is None
    run_check.check(tiny_run(data))
    more = write(tmp_path / "b.jsonl", *({**row, "answer": row["answer"] * 2} for row in ROWS))
    measured = plan(tiny_run(more)).bundles[0]
    assert measured.basis == "measured"
    (per_character,) = speed._read(tmp_path / "cache").values()
    assert measured.seconds == pytest.approx(per_character * measured.characters)  # type: ignore[operator]
    assert plan(tiny_run(data)).seconds == 0.0


@pytest.mark.parametrize("content", [None, "{", "[]", '{"k": "text"}', '{"k": -1.0}'])
def test_a_damaged_memory_of_speed_is_no_memory(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "speed.json").write_text(content)
    assert speed.recall(tmp_path, "k") is None
    speed.remember(tmp_path, "k", 0.5)
    assert speed.recall(tmp_path, "k") == 0.5


def test_a_sample_is_the_same_rows_in_whatever_order(tiny_run: Make, tmp_path: Path) -> None:
    def judged(*rows: object, sample: int) -> tuple[set[str], list[int]]:
        report = run_check.check(tiny_run(write(tmp_path / "a.jsonl", *rows), sample=sample))
        return {row.fingerprint for row in report.rows}, [row.where.line for row in report.rows]

    found, lines = judged(*ROWS, sample=5)
    assert len(found) == 5
    assert lines == sorted(lines)
    assert judged(*reversed(ROWS), sample=5)[0] == found
    # Another row may take one place, and no more.
    assert len(found - judged(*ROWS, {"question": "New?", "answer": "Yes."}, sample=5)[0]) <= 1
    assert judged(*ROWS, sample=99) == (judged(*ROWS, sample=12)[0], list(range(1, 13)))


def test_a_sample_is_named_and_calls_nothing_gone(tiny_run: Make, tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", *ROWS)
    baseline = tmp_path / "baseline.json"
    entries = {"a.jsonl": {"a" * 32: ["SQSD101"]}}
    baseline.write_text(json.dumps({"version": 1, "findings": entries}))
    whole = run_check.check(tiny_run(data, baseline=str(baseline)))
    assert [violation.rule for violation in whole.violations] == ["SQSD402"]
    report = run_check.check(tiny_run(data, baseline=str(baseline), sample=4))
    assert report.violations == ()
    assert (report.coverage.scored, report.coverage.rows, report.coverage.complete) == (4, 4, True)
    (note,) = [note for note in report.coverage.notes if "sample" in note]
    assert "8 more rows were not looked at" in note


def test_a_file_that_cannot_be_read_is_in_every_sample(tiny_run: Make, tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 12\n"
    (tmp_path / "z.jsonl").write_text(pointer)
    data = write(tmp_path / "a.jsonl", *ROWS)
    report = run_check.check(tiny_run(data, tmp_path / "z.jsonl", sample=2))
    assert [violation.rule for violation in report.violations] == ["SQSD304"]
    assert report.coverage.scored == 2
