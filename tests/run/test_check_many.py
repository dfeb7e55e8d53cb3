"""A check that keeps no rows says the same as one that does."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.report import FORMATS, Options, write
from sqsd_lint.run import check as run_check
from sqsd_lint.types import Report
from tests.run.conftest import ROWS
from tests.run.conftest import write as write_rows

Run = Callable[..., Settings]


def printed(report: Report, format: str, **options: bool) -> str:
    stream = io.StringIO()
    write(replace(report, seconds=0.0), format, stream, Options(**options))
    return stream.getvalue()


@pytest.fixture
def settings(tiny_run: Run, tmp_path: Path) -> Settings:
    """Rows of two files, with findings of both severities, a fault, and rows near both lines."""
    one = write_rows(tmp_path / "a.jsonl", *ROWS[:5], "{broken")
    two = write_rows(tmp_path / "b.jsonl", *ROWS[5:], ROWS[0])
    base = tiny_run(one, two)
    risks = sorted(row.score.risk for row in run_check.check(base).rows)
    return replace(base, threshold=repr(risks[-2]), warning_threshold=repr(risks[3]))


def test_without_rows_the_report_is_the_same(settings: Settings) -> None:
    run_check.check(settings)  # the cache knows all scores, those of the exact mode as well
    whole, lean = (run_check.check(settings, keep_rows=keep) for keep in (True, False))
    assert len(whole.rows) == 9
    assert lean.rows == ()
    assert any(row.score.exact for row in whole.rows)
    assert replace(lean, rows=whole.rows, seconds=0, distributions=(), files=()) == replace(
        whole, seconds=0, distributions=(), files=()
    )
    for format in FORMATS:
        for statistics in (False, True):
            texts = [printed(each, format, statistics=statistics) for each in (whole, lean)]
            assert texts[0] == texts[1]
            # From the rows themselves, as a report of the library may have them.
            rows_alone = replace(whole, distributions=(), files=())
            assert printed(rows_alone, format, statistics=statistics) == texts[0]


def test_findings_beyond_a_limit_are_counted_in_every_report(settings: Settings) -> None:
    whole = run_check.check(settings, keep_rows=False)
    some = run_check.check(settings, keep_rows=False, findings=1)
    assert len(some.violations) < len(whole.violations)
    assert some.exit_code == whole.exit_code
    assert some.next_steps == whole.next_steps
    missing = len(whole.violations) - len(some.violations)
    assert sum(each.count for each in some.unlisted) == missing
    for format in ("text", "concise", "markdown", "html"):
        assert f"{missing} further findings are counted, not listed" in printed(some, format)
    verdicts = [printed(each, "concise").splitlines() for each in (whole, some)]
    assert [line for line in verdicts[0] if line.startswith("Found")] == [
        line for line in verdicts[1] if line.startswith("Found")
    ]
    assert f'"unlisted": {missing}' in printed(some, "json")
    assert '"unlisted"' not in printed(whole, "json")


def test_rows_near_a_line_that_are_known_exactly_are_judged_on_the_way(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_check.check(settings)
    from sqsd_lint.run import bundle_run

    monkeypatch.setattr(bundle_run, "_LOOK_UP", 1)
    whole, lean = (run_check.check(settings, keep_rows=keep) for keep in (True, False))
    assert lean.violations == whole.violations
    assert any(violation.score and violation.score.exact for violation in lean.violations)
