"""What a row trains on, in words."""

from __future__ import annotations

from typing import Any

import pytest

from sqsd_lint.samples import to_sample, trained_form
from sqsd_lint.types import Row, Sample, Where


def turn(role: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": f"Some words of the {role}.", **more}


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        ({"prompt": "Why?", "completion": "Because."}, "an answer"),
        ({"messages": [turn("system"), turn("user"), turn("assistant")]}, "an answer"),
        ({"messages": [turn("user"), turn("assistant")] * 2}, "a conversation"),
        (
            {"messages": [turn("user"), turn("assistant", weight=0), turn("user"), turn("assistant")]},
            "an answer",
        ),
        ({"text": "A page of a book."}, "text without a prompt"),
        ({"messages": [turn("assistant")]}, "text without a prompt"),
    ],
)
def test_forms(raw: dict[str, Any], form: str) -> None:
    sample = to_sample(Row(Where("rows.jsonl", 1, 0), raw))
    assert isinstance(sample, Sample)
    assert trained_form(sample) == form
