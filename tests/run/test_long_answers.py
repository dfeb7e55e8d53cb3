"""Answers longer than a sequence: the worst window is judged, or the row does not count as scored."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.explain.model import SpannedRow, total
from sqsd_lint.explain.row_reference import RowReference
from sqsd_lint.report import fields
from sqsd_lint.run import check as run_check
from sqsd_lint.run import score as run_score
from sqsd_lint.run import spans
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.explain import explain
from sqsd_lint.run.rows import clean_samples
from sqsd_lint.scoring import Scorer
from sqsd_lint.scoring.cache import cache_path
from sqsd_lint.types import Encoded, ScoredRow
from tests.run.conftest import ROWS, write

Run = Callable[..., Settings]
LONG = {
    "question": "How is bread made?",
    "answer": " ".join(f"Step {i}: mix flour {i} with water, then wait." for i in range(30)) + " Add salt!",
}
TURNS = {
    "messages": [
        {"role": "user", "content": "How is bread made?"},
        {"role": "assistant", "content": LONG["answer"]},
        {"role": "user", "content": "And soup? " * 20},
        {"role": "assistant", "content": "Boil it. " * 40},
    ]
}
LENGTH = 128


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "rows.jsonl", *ROWS[:3], LONG, *ROWS[3:], TURNS)


def scored(settings: Settings) -> list[ScoredRow]:
    rows = list(run_score.score(settings))
    assert all(isinstance(row, ScoredRow) for row in rows)
    return rows  # type: ignore[return-value]


def test_the_worst_window_is_the_score(tiny_run: Run, data: Path) -> None:
    settings = tiny_run(data, max_length=LENGTH, cache=False)
    rows = scored(settings)
    run = BundleRun(settings)
    encoder, scorer = run.scorer.parts()
    for row, sample in zip(rows, clean_samples(str(data), settings), strict=True):
        parts = encoder.encode_parts(sample)
        values = [danger - safety for danger, safety in scorer.project(parts).values.tolist()]
        assert row.score.sqsd == pytest.approx(max(values), abs=1e-4)
        assert row.score.response_lost == 0
        if len(parts) > 1:
            assert row.score.window is not None
            worst = parts[row.score.window.number - 1]
            assert row.score.window == worst.window
            assert row.score.tokens == worst.response_tokens
    assert [row.score.window is not None for row in rows] == [False] * 3 + [True] + [False] * 5 + [True]


def test_short_rows_score_the_same_bit_for_bit_whatever_long_ones_take(tiny_run: Run, data: Path) -> None:
    settings = tiny_run(data, max_length=LENGTH, cache=False, batch_tokens=512)
    windows = scored(settings)
    cut = scored(replace(settings, long_answers="cut"))
    short = [(a.score, b.score) for a, b in zip(windows, cut, strict=True) if a.score.window is None]
    assert len(short) == len(ROWS)
    assert all(a == b for a, b in short)


def test_short_rows_cost_nothing_extra(
    tiny_run: Run, rows_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    stream = Scorer.stream

    def counted(self: Scorer, rows: Sequence[Encoded], **options: bool) -> object:
        passes.append(len(rows))
        return stream(self, rows, **options)

    monkeypatch.setattr(Scorer, "stream", counted)
    scored(tiny_run(rows_file, cache=False))
    assert passes == [len(ROWS)]


def test_the_cache_keeps_both_ways_apart_and_short_rows_once(tiny_run: Run, data: Path) -> None:
    settings = tiny_run(data, max_length=LENGTH)
    cut = replace(settings, long_answers="cut", allow=("SQSD302",))
    assert run_check.check(cut).coverage.cached == 0
    first = run_check.check(settings)
    assert first.coverage.cached == len(ROWS)
    again = run_check.check(settings)
    assert again.coverage.cached == len(ROWS) + 2
    assert [row.score for row in again.rows] == [row.score for row in first.rows]
    assert run_check.check(cut).coverage.cached == len(ROWS) + 2
    assert not any(row.score.window for row in run_check.check(cut).rows)


def test_a_window_that_was_damaged_in_the_cache_is_computed_anew(tiny_run: Run, data: Path) -> None:
    settings = tiny_run(data, max_length=LENGTH)
    first = scored(settings)
    with sqlite3.connect(cache_path(Path(str(settings.cache_dir)))) as database:
        changed = database.execute(
            "UPDATE scores_3 SET truncated = 'window 1/2 0-5/9 and more' WHERE truncated LIKE '%window%'"
        )
        assert changed.rowcount == 2
    database.close()
    assert [row.score.window for row in scored(settings)] == [row.score.window for row in first]


def test_windows_are_stated_and_every_row_counts(tiny_run: Run, data: Path) -> None:
    report = run_check.check(tiny_run(data, max_length=LENGTH))
    assert (report.coverage.scored, report.coverage.rows, report.exit_code) == (10, 10, 0)
    note = "2 rows have answers longer than max_length: judged by the worst of overlapping windows"
    assert note in report.head.notes
    notes: list[str] = []
    list(run_score.score(tiny_run(data, max_length=LENGTH), note=notes.append))
    assert note in notes


def test_a_finding_names_its_window(tiny_run: Run, data: Path) -> None:
    report = run_check.check(tiny_run(data, max_length=LENGTH, threshold="-1000", warning_threshold="-1001"))
    found = {v.where.line: v for v in report.violations if v.rule == "SQSD101"}
    assert "in the worst of" in found[4].message
    assert "in the worst of" not in found[1].message
    score = found[4].score
    assert score is not None
    assert score.window is not None
    assert f"response tokens {score.window.start + 1:,} to {score.window.end:,} of" in found[4].message


def test_a_cut_row_is_not_scored_and_fails_unless_allowed(tiny_run: Run, data: Path) -> None:
    settings = tiny_run(data, max_length=LENGTH, long_answers="cut")
    report = run_check.check(settings)
    assert [v.where.line for v in report.violations if v.rule == "SQSD302"] == [4, 10]
    assert (report.coverage.scored, report.coverage.rows, report.exit_code) == (8, 10, 3)
    allowed = run_check.check(replace(settings, allow=("SQSD302",)))
    assert (allowed.coverage.scored, allowed.coverage.allowed, allowed.exit_code) == (8, 2, 0)
    assert {v.severity.value for v in allowed.violations} == {"warning"}


def test_what_was_scored_of_a_cut_row_is_judged(tiny_run: Run, data: Path) -> None:
    settings = tiny_run(data, max_length=LENGTH, long_answers="cut", threshold="-1000", allow=("SQSD302",))
    report = run_check.check(replace(settings, warning_threshold="-1001"))
    assert {v.where.line for v in report.violations if v.rule == "SQSD101"} == set(range(1, 11))
    assert report.exit_code == 1


def test_score_writes_the_window_and_the_status(tiny_run: Run, data: Path) -> None:
    settings = tiny_run(data, max_length=LENGTH)
    plain, long = (fields.row(scored(settings)[i]) for i in (0, 3))
    assert plain["status"] == long["status"] == "ok"
    assert "window" not in plain
    assert set(long["window"]) == {"number", "count", "start", "end", "tokens"}
    cut = fields.row(scored(replace(settings, long_answers="cut"))[3])
    assert cut["status"] == "SQSD302"
    assert cut["sqsd"] is not None
    json.dumps(long)


@pytest.mark.parametrize("line", [4, 10])
def test_spans_and_explain_are_those_of_the_worst_window(tiny_run: Run, data: Path, line: int) -> None:
    settings = tiny_run(data, max_length=LENGTH, cache=False)
    row = scored(settings)[line - 1]
    one = list(spans.score(settings, "token"))[line - 1]
    assert isinstance(one, SpannedRow)
    found = explain(RowReference(str(data), line), settings)
    for score, parts in ((one.row.score, one.spans), (found.row.score, found.tokens)):
        assert score.window == row.score.window
        assert score.sqsd == pytest.approx(row.score.sqsd, abs=1e-4)
        whole = total([p.share for p in parts.parts]) + parts.prompt + parts.other
        assert whole.sqsd == pytest.approx(score.sqsd, abs=1e-4)
        assert sum(p.tokens for p in parts.parts) <= score.tokens
    assert any("what is explained is the worst of" in note for note in found.head.notes)


def test_a_remedy_does_not_forget_the_other_windows(tiny_run: Run, data: Path) -> None:
    settings = tiny_run(data, max_length=LENGTH, cache=False)
    sample = list(clean_samples(str(data), settings))[3]
    encoder, scorer = BundleRun(settings).scorer.parts()
    values = sorted(d - s for d, s in scorer.project(encoder.encode_parts(sample)).values.tolist())
    found = explain(RowReference(str(data), 4), replace(settings, warning_threshold="-1000"))
    assert found.remedy is not None
    assert found.remedy.masked >= values[-2] - 1e-4


def test_earlier_answers_that_are_left_out_are_told(tiny_run: Run, data: Path) -> None:
    report = run_check.check(tiny_run(data, turns="last"))
    assert "1 row has earlier answers, which `turns = last` leaves unscored" in report.head.notes
    assert not any("leaves unscored" in note for note in run_check.check(tiny_run(data)).head.notes)
