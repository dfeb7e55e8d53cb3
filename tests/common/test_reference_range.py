"""Rows that a calibration has not seen the like of are named as such."""

from __future__ import annotations

import pytest

from sqsd_lint.common.reference_range import ReferenceRange, join_ranges, main_script, measure_range

RANGE = measure_range(
    [1, 2, 3, 4, 50, 60, 70, 80],
    [9.0, 8.0, 7.0, 1.0, 2.0, 1.0, 3.0, 0.5],
    ["Two words"] * 6 + ["两个词"] * 2,
)


def test_rows_like_the_reference_are_in_it() -> None:
    assert RANGE.tokens == (1, 80)
    assert RANGE.scripts == ("Han", "Latin")
    assert [
        RANGE.unlike(t, loss, text) for t, loss, text in ((1, 8.5, "word"), (80, 0.5, "词"), (5, 1, ""))
    ] == [
        "",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("tokens", "loss", "text", "said"),
    [
        (81, 1.0, "word", "81 tokens is unlike the benign reference rows (1 to 80)"),
        (75, 8.5, "word", "loss of 8.50 nats is unlike the benign reference rows of its length"),
        (75, 0.1, "word", "loss of 0.10 nats"),
        (75, 1.0, "слово и ещё слово", "written in Cyrillic, as no benign reference row is (Han, Latin)"),
        (75, 1.0, "これはペンです", "written in Kana"),
    ],
)
def test_rows_unlike_it_are_named(tokens: int, loss: float, text: str, said: str) -> None:
    assert said in RANGE.unlike(tokens, loss, text)


def test_what_rows_train_on_is_compared() -> None:
    forms = ["an answer"] * 99 + ["text without a prompt"]
    found = measure_range([8] * 100, [1.0] * 100, [], forms)
    assert found.forms == ("an answer", "text without a prompt")
    assert not found.unlike(8, 1.0, "", "text without a prompt")
    assert "trains on a conversation, as no benign reference row does (an answer, text" in found.unlike(
        8, 1.0, "", "a conversation"
    )
    assert measure_range([8] * 101, [1.0] * 101, [], [*forms, "an answer"]).forms == ("an answer",)


def test_a_joined_range_covers_the_rows_of_both() -> None:
    one = ReferenceRange((2, 40), ((10, 1.0, 9.0), (40, 0.5, 4.0)), ("Latin",), ("an answer",))
    other = ReferenceRange((5, 80), ((20, 2.0, 10.0), (80, 0.1, 3.0)), ("Han",), ("a conversation",))
    assert join_ranges(one, other) == ReferenceRange(
        (2, 80),
        ((10, 1.0, 10.0), (20, 0.5, 10.0), (40, 0.1, 4.0), (80, 0.1, 3.0)),
        ("Han", "Latin"),
        ("a conversation", "an answer"),
    )


def test_what_was_not_kept_is_not_compared() -> None:
    assert not ReferenceRange((1, 80)).unlike(8, 99.0, "слово", "a conversation")


def test_a_quotation_makes_no_reference_for_a_language() -> None:
    assert measure_range([1] * 200, [1.0] * 200, ["word"] * 199 + ["слово"]).scripts == ("Latin",)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("", ""),
        ("123 + 4", ""),
        ("Ökonomie für alle", "Latin"),
        ("日本語のテキスト", "Kana"),
        ("한국어 abc", "Latin"),
    ],
)
def test_scripts(text: str, script: str) -> None:
    assert main_script(text) == script
