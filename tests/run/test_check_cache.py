"""A gate over a damaged score cache gives the verdict that it gives without one."""

from __future__ import annotations

import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqsd_lint.config import Settings
from sqsd_lint.run import check as run_check
from sqsd_lint.scoring.cache import cache_path
from sqsd_lint.types import Report

ROWS = [{"question": f"What is {i} and {i}?", "answer": f"It is {'so ' * (i % 3)}{2 * i}."} for i in range(8)]


@pytest.fixture(scope="module")
def gate(
    two_bundles: tuple[str, str], tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Settings, Report]:
    """Settings with a warm cache, and the report of a run without one."""
    folder = tmp_path_factory.mktemp("gate")
    data = folder / "a.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    chosen = Settings(
        paths=(str(data),),
        bundle=two_bundles[0],
        model=str(tiny_model_folder),
        device="cpu",
        dtype="float32",
        warning_threshold="p20",
        threshold="p60",
        cache_dir=str(folder / "cache"),
    )
    bare = run_check.check(replace(chosen, cache=False))
    assert bare.violations
    assert same(run_check.check(chosen), bare)
    return chosen, bare


def same(report: Report, other: Report) -> bool:
    """Whether two runs found the same: scores bit for bit, findings and exit code."""
    facts = [
        (repr(r.rows), r.violations, r.exit_code, replace(r.coverage, cached=0)) for r in (report, other)
    ]
    return facts[0] == facts[1]


@settings(max_examples=12)
@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=30))
def test_flipped_bytes(gate: tuple[Settings, Report], tmp_path: Path, flips: list[tuple[float, int]]) -> None:
    chosen, bare = gate
    assert chosen.cache_dir
    folder = tmp_path / "cache"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(chosen.cache_dir, folder)
    data = bytearray(cache_path(folder).read_bytes())
    for place, mask in flips:
        data[int(place * len(data))] ^= mask
    cache_path(folder).write_bytes(data)
    damaged = replace(chosen, cache_dir=str(folder))
    assert same(run_check.check(damaged), bare)
    after = run_check.check(damaged)
    assert same(after, bare)
    assert after.coverage.cached == len(ROWS)


@pytest.mark.parametrize("value", ["'text'", "9e999", "danger + 1", "x'00'"])
def test_the_report_says_what_was_damaged(gate: tuple[Settings, Report], tmp_path: Path, value: str) -> None:
    chosen, bare = gate
    assert chosen.cache_dir
    shutil.copytree(chosen.cache_dir, tmp_path / "cache")
    path = cache_path(tmp_path / "cache")
    with sqlite3.connect(path) as database:
        database.execute(f"UPDATE scores_3 SET danger = {value}")
    database.close()
    report = run_check.check(replace(chosen, cache_dir=str(tmp_path / "cache")))
    assert same(report, bare)
    (note,) = (note for note in report.head.notes if "cache" in note)
    assert note.startswith("the score cache was damaged (")
    assert str(path.with_suffix(".damaged")) in note
    assert path.with_suffix(".damaged").is_file()


def test_a_damaged_score_of_the_exact_look_is_told_too(gate: tuple[Settings, Report], tmp_path: Path) -> None:
    chosen, bare = gate
    near = repr(bare.rows[3].score.sqsd)
    settled = replace(chosen, threshold=near, cache_dir=str(tmp_path / "cache"))
    first = run_check.check(settled)
    assert sum(row.score.exact for row in first.rows) >= 1
    path = cache_path(tmp_path / "cache")
    with sqlite3.connect(path) as database:
        query = "SELECT scorer FROM scores_3 GROUP BY scorer ORDER BY count(*) LIMIT 1"
        (scorer,) = database.execute(query).fetchone()
        database.execute("UPDATE scores_3 SET danger = 99.0 WHERE scorer = ?", (scorer,))
    database.close()
    again = run_check.check(settled)
    assert same(again, first)
    assert [note for note in again.head.notes if "the score cache was damaged" in note]
