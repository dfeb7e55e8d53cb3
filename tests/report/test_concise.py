from __future__ import annotations

from dataclasses import replace

import pytest

from sqsd_lint.report import Options
from sqsd_lint.types import Report
from tests.report.golden import assert_golden, render
from tests.report.reports import CLEAR, DIFF, FULL, HOSTILE, MARKUP


@pytest.mark.parametrize(
    ("name", "report"), [("full", FULL), ("diff", DIFF), ("clear", CLEAR), ("hostile", HOSTILE)]
)
def test_golden(name: str, report: Report) -> None:
    assert_golden(f"{name}.concise.txt", render(report, "concise"))


def test_one_line_per_finding_in_order_of_places() -> None:
    shuffled = replace(FULL, violations=tuple(reversed(FULL.violations)))
    lines = render(shuffled, "concise").splitlines()
    assert [line.split(": ")[0] for line in lines[:7]] == [
        "data/extra.jsonl:3",
        "data/extra.jsonl:9",
        "data/weights.jsonl",
        "data/train.jsonl:12",
        "data/train.jsonl:48",
        "data/train.jsonl:48",
        "data/train.jsonl:1207",
    ]


@pytest.mark.parametrize("report", [HOSTILE, MARKUP])
def test_foreign_text_opens_no_line_of_its_own(report: Report) -> None:
    quiet = render(replace(report, coverage=CLEAR.coverage), "concise", Options(quiet=True))
    assert len(quiet.splitlines()) == len(report.violations)


def test_redact_shows_the_fingerprint() -> None:
    text = render(FULL, "concise", Options(redact=True))
    assert f"SQSD 11.84 (p99.98) fingerprint {12:032x}" in text
    assert "proxy server" not in text


def test_quiet_leaves_the_verdict_out_but_not_a_gap() -> None:
    text = render(FULL, "concise", Options(quiet=True))
    assert "Found" not in text
    assert "scored 1998 of 2000 rows" in text
    assert render(CLEAR, "concise", Options(quiet=True)) == ""


def test_statistics_count_per_rule() -> None:
    text = render(FULL, "concise", Options(statistics=True))
    assert text.splitlines()[:2] == [
        "SQSD101 [high-risk-sample] 2 errors",
        "SQSD102 [elevated-risk-sample] 1 warning",
    ]
    assert "data/train.jsonl" not in text
