"""`score --emit-spans`: the spans of a row sum to its score, and the scores are in the cache."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.errors import UsageError
from sqsd_lint.explain.model import SpannedRow, total
from sqsd_lint.run import check as run_check
from sqsd_lint.run import score as run_score
from sqsd_lint.run import spans
from sqsd_lint.scoring.cache import cache_path
from sqsd_lint.types import Problem, ScoredRow
from tests.run.conftest import ROWS, write

Run = Callable[..., Settings]


@pytest.mark.parametrize("unit", ["sentence", "word", "token"])
def test_spans_sum_to_the_scores(tiny_run: Run, rows_file: Path, unit: str) -> None:
    write(rows_file, *ROWS[:4], '{"question": "q", "answer": ""}', ROWS[0])
    settings = tiny_run(rows_file, batch_tokens=400)
    plain = list(run_score.score(replace(settings, cache=False)))
    found = list(spans.score(settings, unit))  # type: ignore[arg-type]
    assert [r.where.line if isinstance(r, Problem) else r.row.where.line for r in found] == list(range(1, 7))
    for one, row in zip(found, plain, strict=True):
        if not isinstance(one, SpannedRow):
            assert one == row
            continue
        assert isinstance(row, ScoredRow)
        whole = total([p.share for p in one.spans.parts]) + one.spans.prompt + one.spans.other
        assert whole.sqsd == pytest.approx(row.score.sqsd, abs=1e-4)
        assert one.row.score.sqsd == pytest.approx(row.score.sqsd, abs=1e-4)


def test_scores_go_into_the_cache_and_none_come_from_it(tiny_run: Run, rows_file: Path) -> None:
    settings = tiny_run(rows_file)
    first = list(spans.score(settings, "sentence"))
    assert run_check.check(settings).coverage.cached == len(ROWS)
    with sqlite3.connect(cache_path(Path(str(settings.cache_dir)))) as database:
        database.execute("DELETE FROM scores_3 WHERE fingerprint > x'80'")
    database.close()
    assert list(spans.score(settings, "sentence")) == first
    assert run_check.check(settings).coverage.cached == len(ROWS)


def test_several_bundles_are_refused(tiny_run: Run, rows_file: Path, two_bundles: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="spans come from one bundle"):
        list(spans.score(tiny_run(rows_file, opinions=two_bundles), "word"))


def test_a_damaged_cache_is_told(tiny_run: Run, rows_file: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    cache_path(tmp_path / "cache").write_bytes(b"This is no database." * 100)
    notes: list[str] = []
    assert len(list(spans.score(tiny_run(rows_file), "word", note=notes.append))) == len(ROWS)
    assert ["was damaged" in note for note in notes] == [True]
