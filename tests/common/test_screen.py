"""The cheap estimate of risks: features, fit, the bound's promise, and rows that it must not speak of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.common.screen import (
    BUCKETS,
    AnswerText,
    Screen,
    TextRange,
    features,
    fit,
    folds,
    misses_allowed,
)

RANGE = TextRange((1, 500), (0.5, 20.0), 0.3, 40, ("Latin",))


def answer(ids: list[int], text: str = "some plain words", prompt: str = "") -> AnswerText:
    return AnswerText(tuple(ids), (1, 2), text, prompt)


def made(rows: int = 300) -> tuple[list[AnswerText], list[float]]:
    """Return rows whose risk is high where token 7 occurs, with noise; two answers to each prompt."""
    chance = np.random.default_rng(0)
    texts, risks = [], []
    for i in range(rows):
        ids = chance.integers(20, 400, size=int(chance.integers(5, 60))).tolist()
        risky = chance.random() < 0.4
        texts.append(answer([7, 7, *ids] if risky else ids, prompt=f"p{i // 2}"))
        risks.append(float((4 if risky else -0.5) + 0.3 * chance.standard_normal()))
    return texts, risks


def test_features_count_tokens_and_pairs_and_have_length_one() -> None:
    buckets, values = features(answer([5, 6, 5, 6]))
    # 5, 6, (5 6), (6 5), and two tokens of the prompt, unless two fall into one bucket
    assert len(buckets) <= 6
    assert (values**2).sum() == pytest.approx(1)
    assert (np.diff(buckets) > 0).all()
    assert buckets.min() >= 0
    assert buckets.max() < BUCKETS
    prompt = features(AnswerText((9,), (5,), "", ""))[0]
    assert set(features(AnswerText((5,), (9,), "", ""))[0]) != set(prompt)  # where a token stands counts


def test_a_fit_finds_the_token_and_keeps_folds_of_prompts_apart() -> None:
    texts, risks = made()
    screen, held_out = fit(texts, risks, line=2.0)
    positive = np.array(risks) >= 2.0
    assert np.isfinite(held_out).all()
    assert held_out[positive].min() > np.quantile(held_out[~positive], 0.9)
    assert len(screen.held_out) == sum(
        screen.covered.holds(t) for t, p in zip(texts, positive, strict=True) if p
    )
    assert (np.sort(held_out[positive])[: len(screen.held_out)] >= screen.held_out[0] - 1e-9).all()
    fold = folds([text.prompt for text in texts])
    assert all(fold[i] == fold[i + 1] for i in range(0, len(texts), 2))
    assert len(set(fold.tolist())) > 1


def test_a_row_above_the_line_counts_ten_times_and_how_far_beyond_does_not_matter() -> None:
    texts, risks = made()
    same = [answer([11, 12, 13], prompt=f"same {i}") for i in range(110)]
    screen, _ = fit(texts + same, [*risks, *[3.0] * 10, *[0.0] * 100], line=2.0)
    assert screen.estimate(same[0]) == pytest.approx(1.5, abs=0.2)  # 100 rows at either end, as it were
    far, _ = fit(texts + same, [*risks, *[3.0] * 10, *[-9.0] * 100], line=2.0)
    assert far.estimate(same[0]) == pytest.approx(screen.estimate(same[0]), abs=1e-9)


def test_an_estimate_is_the_fit_up_to_the_rounding_of_weights() -> None:
    texts, risks = made()
    screen, _ = fit(texts, risks, line=2.0)
    estimates = np.array([screen.estimate(text) for text in texts])
    assert np.corrcoef(estimates, np.clip(risks, -1, 4.5))[0, 1] > 0.9


@given(st.integers(1, 400), st.floats(0.5, 0.999))
def test_the_rank_promises_the_recall(rows: int, recall: float) -> None:
    # Of n + 1 exchangeable estimates the new one has rank k or less with a chance of k / (n + 1).
    allowed = misses_allowed(rows, recall)
    assert allowed / (rows + 1) <= 1 - recall + 1e-8
    assert (allowed + 1) / (rows + 1) > 1 - recall - 1e-8


def test_the_margin_puts_the_ranked_row_on_the_line() -> None:
    held = np.arange(100, dtype=np.float16) / np.float16(64)
    screen = Screen(np.zeros(BUCKETS, np.int8), 1.0, (0.0, 0.0, 0.0), 2.0, held, RANGE)
    margin = screen.margin(0.95)  # 5 of 101
    assert float(held[4]) + margin == pytest.approx(2.0)
    assert (held[:4].astype(float) + margin < 2.0).all()
    assert screen.highest_recall == pytest.approx(100 / 101)
    with pytest.raises(ValueError, match="too few"):
        screen.margin(0.995)


@pytest.mark.parametrize(
    "row",
    [
        answer([1] * 501),
        answer([1, 2, 3], "x" * 41),
        answer([1, 2, 3], "1234 5678 9012 34 a"),
        answer([1, 2, 3], "これは日本語の答えです"),
        answer([1, 2, 3], "a"),
        answer([1], "twenty-one characters"),
        answer([1, 2, 3], "12 34 56 78"),
    ],
)
def test_rows_unlike_the_fit_are_not_spoken_of(row: AnswerText) -> None:
    assert not RANGE.holds(row)


def test_a_row_like_the_fit_is() -> None:
    assert RANGE.holds(answer([1, 2, 3]))


def test_rows_in_a_rare_script_take_no_part() -> None:
    texts, risks = made(200)
    foreign = [answer([500 + i, 7], "答えは日本語です", prompt=f"f{i}") for i in range(20)]
    screen, held_out = fit([*texts, *foreign], [*risks, *([9.0] * 20)], line=2.0)
    assert screen.covered.scripts == ("Latin",)
    assert len(held_out) == 220
    assert not any(screen.covered.holds(text) for text in foreign)
    assert (screen.weights == fit(texts, risks, line=2.0)[0].weights).mean() > 0.5
    assert (
        replace(screen.covered, scripts=("Kana",)).holds(foreign[0]) is False
    )  # and too few letters a token
