from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from sqsd_lint.common.escape import escape, excerpt
from sqsd_lint.report.formats.markdown import code, prose, words
from tests.report.reports import HOSTILE_MARKUP, HOSTILE_TEXT

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=80)
MARKS = st.lists(
    st.sampled_from([*"`|\\*_<>[]()!@#&;:~$-+=1. \n", "a", "``", "\\`", "<b>", "www.x.yz", "http://x"])
)
TEXTS = ANY_TEXT | MARKS.map("".join)
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def inline(markdown: str) -> list[Token]:
    """The inline tokens of a table's only cell."""
    tokens = READER.parse(f"| a |\n| - |\n| {markdown} |\n")
    cells = [token for before, token in pairwise(tokens) if before.type == "td_open"]
    assert len(cells) == 1, "the table is broken"
    return cells[0].children or []


@given(TEXTS)
@example(HOSTILE_MARKUP)
@example(HOSTILE_TEXT)
def test_code_is_one_span_with_all_of_the_text(text: str) -> None:
    tokens = inline(code(text))
    shown = excerpt(text, 600).replace("`", r"\x60").replace("|", r"\x7c")
    assert [(token.type, token.content) for token in tokens] == ([("code_inline", shown)] if shown else [])


@given(TEXTS)
@example(HOSTILE_MARKUP)
@example("1. `a``b` `c")
def test_prose_is_plain_words_and_code(text: str) -> None:
    for token in inline(prose(text)):
        assert token.type in ("text", "code_inline")
        if token.type == "text":
            assert not set(token.content) & set('`|\\*_<>[]!@#&~$+=/"{}^')
            assert "www." not in token.content.lower()


@given(TEXTS)
def test_words_are_text_or_one_span(text: str) -> None:
    assert [token.type for token in inline(words(text))] in ([], ["text"], ["code_inline"])


@given(TEXTS)
@example("0``)")
def test_prose_opens_no_block(text: str) -> None:
    shown = prose(text)
    assert "\n" not in shown
    kinds = [token.type for token in READER.parse(f"- {shown}\n")]
    assert kinds.count("bullet_list_open") == 1
    assert set(kinds) <= {
        *("bullet_list_open", "list_item_open", "paragraph_open", "inline"),
        *("paragraph_close", "list_item_close", "bullet_list_close"),
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("not JSON: expected ',' at column 41", "not JSON: expected `','` at column 41"),
        ("run `sqsd-lint rule SQSD101`.", "run `sqsd-lint rule SQSD101`."),
        ("`a`/b or `c`", "`a/b` or `c`"),
        ("1. one", "`1.` one"),
        ("1,998 rows (p99.9), 0.1% don't", "1,998 rows (p99.9), 0.1% don't"),
        ("commit deadbeef", "commit `deadbeef`"),
        ("a ` b", r"a `\x60` b"),
        ("@me and http://x www.x.yz a@b.cc", "`@me` and `http://x` `www.x.yz` `a@b.cc`"),
        ("", ""),
    ],
)
def test_prose(text: str, shown: str) -> None:
    assert prose(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [("high-risk-sample", "high-risk-sample"), ("p99.9", "p99.9"), ("SQSD101", "SQSD101"), ("a_b", "`a_b`")],
)
def test_words(text: str, shown: str) -> None:
    assert words(text) == shown


def test_control_characters_are_shown() -> None:
    assert code("\x1b[31m\n") == f"`{escape(chr(27))}[31m`"
