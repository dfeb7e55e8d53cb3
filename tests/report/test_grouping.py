"""Repeated findings of one kind are one finding for people, and no percentile contradicts a line's name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sqsd_lint.report import Options
from sqsd_lint.report.grouping import MOST_PLACES, grouped
from sqsd_lint.types import Severity, Threshold, Violation, Where
from tests.report.golden import render
from tests.report.reports import FULL, high_risk


def empty(line: int, file: str = "data/a.jsonl", message: str = "the answer is empty") -> Violation:
    where = Where(file, line, line - 1)
    return Violation(
        "SQSD301",
        "unscorable-row",
        Severity.ERROR,
        where,
        message,
        f"{line:032x}",
        f"text {line}",
        "complete it",
    )


def places(*violations: Violation) -> list[str]:
    return [group.places for group in grouped(violations)]


def test_one_kind_in_one_file_is_one_group() -> None:
    found = [empty(1), empty(2, message="no assistant turn"), empty(3), empty(4, file="data/b.jsonl")]
    assert places(*found) == ["2 rows: 1 and 3", "", ""]
    assert [group.first for group in grouped(found)] == [found[0], found[1], found[3]]


def test_rows_that_follow_one_another_are_a_range_and_far_too_many_are_counted() -> None:
    assert places(*(empty(line) for line in (1, 3, 4, 5, 6, 9))) == ["6 rows: 1, 3 to 6 and 9"]
    assert places(empty(1), empty(2)) == ["2 rows: 1 and 2"]
    odd = [empty(2 * n + 1) for n in range(MOST_PLACES + 500)]
    (shown,) = places(*odd)
    assert shown.startswith(f"{MOST_PLACES + 500} rows: 1, 3, 5")
    assert shown.endswith("and 500 more")


def test_rows_told_apart_by_their_score_stay_apart_unless_they_are_the_same_row() -> None:
    one = high_risk("a.jsonl", 1, 7.0, 99.95, "text")
    other = high_risk("a.jsonl", 2, 7.0, 99.95, "other text")
    again = replace(one, where=Where("a.jsonl", 9, 8))
    assert places(one, other, again) == ["2 rows: 1 and 9", ""]
    assert places(replace(one, fingerprint=""), replace(again, fingerprint="")) == ["", ""]


def test_findings_about_a_file_are_no_rows() -> None:
    file = replace(empty(1), where=Where("data/a.jsonl", 0, -1))
    assert places(file, file) == ["", ""]


def test_people_get_the_group_and_programs_every_finding() -> None:
    report = replace(FULL, violations=tuple(empty(line) for line in range(1, 8)))
    for format in ("text", "markdown", "html"):
        shown = render(report, format)
        assert shown.count("7 rows: 1 to 7") == 1, format
        assert "text 2" not in shown
    assert "text 2" in render(report, "text", Options(verbose=True))
    assert "7 rows" not in render(report, "text", Options(verbose=True))
    for format in ("json", "jsonl", "sarif", "concise"):
        assert render(report, format).count("SQSD301") >= 7, format


LINES = replace(
    FULL.head,
    error_threshold=Threshold("p99.9", 6.42, 0.0003),
    warning_threshold=Threshold("p99", 4.1, 0.005),
)


@pytest.mark.parametrize(("percentile", "shown"), [(99.95, False), (99.4, True)])
def test_no_percentile_reads_like_a_line_that_the_row_is_under(percentile: float, shown: bool) -> None:
    row = replace(
        high_risk("a.jsonl", 1, 5.0, percentile, "text"),
        rule="SQSD102",
        severity=Severity.WARNING,
        message="said",
    )
    report = replace(FULL, head=LINES, violations=(row,))
    for format in ("text", "concise", "markdown", "html"):
        assert (f"p{percentile:g}" in render(report, format)) is shown, format
    assert f'"percentile": {percentile}' in render(report, "json")
    error = replace(report, violations=(high_risk("a.jsonl", 1, 7.0, 99.95, "text"),))
    assert "p99.95" in render(error, "text")


def test_a_row_of_the_page_shows_the_reason() -> None:
    brief = render(FULL, "html").partition('class="row">')[2].partition("</td>")[0]
    assert '<bdi class="reason">a Git LFS pointer, not the data itself</bdi>' in brief
    brief = (
        render(replace(FULL, violations=FULL.violations[:1]), "html")
        .partition('class="row">')[2]
        .partition("</td>")[0]
    )
    assert '<bdi class="reason">SQSD 11.84 is at or above the error line 6.42 (p99.9)</bdi>' in brief
    assert "content filter" in brief
