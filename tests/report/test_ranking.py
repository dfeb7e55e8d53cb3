from __future__ import annotations

import random
from dataclasses import replace

from sqsd_lint.report.ranking import by_place, score, worst_first
from sqsd_lint.types import Severity
from tests.report.reports import DIFF, FULL, HOSTILE, high_risk


def test_worst_first() -> None:
    ranked = [(v.severity.value, v.rule, v.where.line) for v in worst_first(FULL.violations)]
    assert ranked == [
        ("error", "SQSD304", 0),
        ("error", "SQSD101", 12),
        ("error", "SQSD101", 1207),
        ("error", "SQSD303", 3),
        ("error", "SQSD301", 9),
        ("warning", "SQSD102", 48),
        ("warning", "SQSD302", 48),
    ]


def test_the_order_does_not_depend_on_the_order_given() -> None:
    found = [*FULL.violations, *DIFF.violations, *HOSTILE.violations]
    shuffled = random.Random(1).sample(found, len(found))
    assert worst_first(shuffled) == worst_first(found)


def test_a_score_that_is_no_number_comes_last() -> None:
    rows = [high_risk("a", line, sqsd, None, "") for line, sqsd in enumerate((float("nan"), -1.0, 2.0), 1)]
    assert [v.where.line for v in worst_first(rows)] == [3, 2, 1]
    assert score(replace(rows[0], score=None, severity=Severity.WARNING)) == float("-inf")


def test_by_place() -> None:
    places = [(v.where.file, v.where.line, v.rule) for v in by_place(reversed(FULL.violations))]
    assert places == [
        ("data/extra.jsonl", 3, "SQSD303"),
        ("data/extra.jsonl", 9, "SQSD301"),
        ("data/weights.jsonl", 0, "SQSD304"),
        ("data/train.jsonl", 12, "SQSD101"),
        ("data/train.jsonl", 48, "SQSD102"),
        ("data/train.jsonl", 48, "SQSD302"),
        ("data/train.jsonl", 1207, "SQSD101"),
    ]
