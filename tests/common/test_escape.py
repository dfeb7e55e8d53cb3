from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from sqsd_lint.common.escape import _UNSAFE, cells, escape, excerpt, well_formed
from tests.report.reports import HOSTILE_TEXT

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)
# A lone U+FE0F only widens an emoji; every other format or control character must be seen.
UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def test_the_list_of_unsafe_characters_covers_their_categories() -> None:
    missed = [
        f"U+{code:04X}"
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in UNSAFE_CATEGORIES and not _UNSAFE.match(chr(code))
    ]
    assert missed == []


@pytest.mark.parametrize("char", ["a", "é", "界", "😀", "\u00a0", "\ufe0f", "\\", "[", "ก", "س"])
def test_ordinary_characters_stay(char: str) -> None:
    assert escape(f"x{char}y") == f"x{char}y"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("\x9b2J", r"\x9b2J"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\u202eevil\u2069", r"\u202eevil\u2069"),
        ("a\u200bb", r"a\u200bb"),
        ("\U000e0041", r"\U000e0041"),
        ("\ud800", r"\ud800"),
        ("::error::x", r"\x3a:error::x"),
        ("  ::error::x", r"  \x3a:error::x"),
        ("std::string", "std::string"),
        ("aaa::Error::x", r"aaa\x3a:Error::x"),
        ("##[error]x", r"#\x23[error]x"),
        ("##vso[task.x]", r"#\x23vso[task.x]"),
        ("## heading", "## heading"),
        ("e" + "\u0301" * 5, "e" + "\u0301" * 3 + r"\u0301\u0301"),
    ],
)
def test_escape(raw: str, shown: str) -> None:
    assert escape(raw) == shown


@given(ANY_TEXT)
@example(HOSTILE_TEXT)
def test_nothing_unsafe_is_left(text: str) -> None:
    shown = escape(text)
    assert not _UNSAFE.search(shown)
    assert not shown.lstrip().startswith("::")
    assert "##[" not in shown
    shown.encode("utf-8")


@given(ANY_TEXT, st.integers(0, 60), st.sampled_from(["…", "..."]))
@example(HOSTILE_TEXT, 20, "…")
@example("界" * 30, 7, "…")
@example("❤\ufe0f" * 30, 9, "…")
def test_an_excerpt_fits_its_width_and_is_safe(text: str, width: int, ellipsis: str) -> None:
    shown = excerpt(text, width, ellipsis)
    assert cell_len(shown) <= max(width, len(ellipsis))
    assert not _UNSAFE.search(shown)


def test_an_excerpt_that_fits_is_whole() -> None:
    assert excerpt("  a short row \n", 13) == "a short row"
    assert excerpt("abcdef", 6) == "abcdef"
    assert excerpt("abcdefg", 6) == "abcde…"


def test_a_wide_character_is_never_halved() -> None:
    assert excerpt("a界界界", 5) == "a界…"


def test_an_escape_is_never_halved() -> None:
    assert excerpt("abc\u202edef", 9) == "abc…"


def test_a_huge_text_costs_what_its_start_costs() -> None:
    class Counting(str):
        taken = 0

        def __getitem__(self, key: object) -> str:
            part = super().__getitem__(key)  # type: ignore[index]
            Counting.taken += len(part)
            return part

    assert len(excerpt(Counting("x" * 1_000_000), 60)) == 60
    assert Counting.taken < 1000


@given(ANY_TEXT)
def test_well_formed_text_can_be_written_as_utf8(text: str) -> None:
    well_formed(text).encode("utf-8")


@given(st.text())
def test_well_formed_leaves_unicode_text_alone(text: str) -> None:
    assert well_formed(text) == text


def test_cells_counts_wide_characters_twice() -> None:
    assert (cells("abc"), cells("界a")) == (3, 3)
