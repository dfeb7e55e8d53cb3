"""Rows and problems in few words, so that a test can compare a whole file at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqsd_lint.types import Problem, Row


def brief(items: Iterable[Row | Problem]) -> list[tuple[int, int, Any]]:
    """(line, index, the raw value or the problem's code) of each."""
    return [
        (item.where.line, item.where.index, item.raw if isinstance(item, Row) else item.code)
        for item in items
    ]


def only_problem(items: Iterable[Row | Problem]) -> Problem:
    (problem,) = [item for item in items if isinstance(item, Problem)]
    return problem
