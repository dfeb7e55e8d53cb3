from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.errors import UsageError
from sqsd_lint.explain.row_reference import RowReference, parse_row_reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.jsonl:12", RowReference("a.jsonl", 12)),
        ("C:/data/a.jsonl:12", RowReference("C:/data/a.jsonl", 12)),
        ("odd:7:8", RowReference("odd:7", 8)),
        ("-:3", RowReference("-", 3)),
        ("a#b.jsonl:4", RowReference("a#b.jsonl", 4)),
        ("a.jsonl#AB12", RowReference("a.jsonl", fingerprint="ab12")),
        ("a:1.jsonl#" + "0" * 32, RowReference("a:1.jsonl", fingerprint="0" * 32)),
    ],
)
def test_what_names_a_row(text: str, expected: RowReference) -> None:
    assert parse_row_reference(text) == expected
    assert parse_row_reference(str(expected)) == expected


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
        parse_row_reference(text)
    assert "FILE:LINE" in (raised.value.hint or "")


@given(file=st.text(min_size=1), line=st.integers(1, 10**12))
def test_any_file_name_goes(file: str, line: int) -> None:
    assert parse_row_reference(f"{file}:{line}") == RowReference(file, line)


def test_a_row_among_several_on_a_line() -> None:
    target = parse_row_reference("a/b.json:1#12")
    assert (target.file, target.line, target.element, target.fingerprint) == ("a/b.json", 1, 12, "")
    assert str(target) == "a/b.json:1#12"
    assert parse_row_reference("a.json:1#ab12").fingerprint == "ab12"
