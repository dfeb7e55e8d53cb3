from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.errors import UsageError
from sqsd_lint.explain.target import Target, parse_target


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.jsonl:12", Target("a.jsonl", 12)),
        ("C:/data/a.jsonl:12", Target("C:/data/a.jsonl", 12)),
        ("odd:7:8", Target("odd:7", 8)),
        ("-:3", Target("-", 3)),
        ("a#b.jsonl:4", Target("a#b.jsonl", 4)),
        ("a.jsonl#AB12", Target("a.jsonl", fingerprint="ab12")),
        ("a:1.jsonl#" + "0" * 32, Target("a:1.jsonl", fingerprint="0" * 32)),
    ],
)
def test_what_names_a_row(text: str, expected: Target) -> None:
    assert parse_target(text) == expected
    assert parse_target(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a.jsonl",
        "a.jsonl:0",
        "a.jsonl:-1",
        "a.jsonl:x",
        ":3",
        "#abcd",
        "a.jsonl#ab",
        "a.jsonl#xyz1",
        "a:٣",
        "",
        "a.jsonl:" + "9" * 5000,
        "a.jsonl#" + "0" * 33,
    ],
)
def test_what_does_not(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_target(text)
    assert "FILE:LINE" in (raised.value.hint or "")


@given(file=st.text(min_size=1), line=st.integers(1, 10**12))
def test_any_file_name_goes(file: str, line: int) -> None:
    assert parse_target(f"{file}:{line}") == Target(file, line)


def test_a_row_among_several_on_a_line() -> None:
    target = parse_target("a/b.json:1#12")
    assert (target.file, target.line, target.element, target.fingerprint) == ("a/b.json", 1, 12, "")
    assert str(target) == "a/b.json:1#12"
    assert parse_target("a.json:1#ab12").fingerprint == "ab12"
