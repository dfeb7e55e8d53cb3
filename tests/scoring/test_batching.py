"""A score belongs to its row: not to the batch it came in, its place in it, or the memory that was left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations, pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sqsd_lint.errors import SqsdLintError
from sqsd_lint.scoring import Direction, Scorer
from sqsd_lint.scoring.batching import even_slices, plan_batches
from sqsd_lint.types import Encoded, Metric
from tests import tiny
from tests.scoring.cases import METRICS, Case, encoded, random_rows, two_turns
from tests.scoring.conftest import CaseFn

ROWS = [*random_rows(7, seed=3), two_turns(), encoded(*tiny.random_sample(11, prompt=2, response=1))]


def directions(one: Case) -> list[Direction]:
    return [one.direction("danger", "initial"), one.direction("safety", "safety", 1.0)]


def assert_same(values: torch.Tensor, expected: torch.Tensor, relative: float = 1e-5) -> None:
    """Equal to `relative`, measured against a column's root mean square where a value is nearly zero."""
    scale = torch.maximum(expected.abs(), expected.square().mean(dim=0).sqrt())
    assert ((values - expected).abs() <= relative * scale).all(), ((values - expected).abs() / scale).max()


@pytest.fixture(scope="module")
def alone(case: CaseFn) -> dict[Metric, torch.Tensor]:
    """Every row scored on its own, per metric."""
    one = case("llama")
    scorers = {metric: Scorer(one.model, directions(one), metric=metric) for metric in METRICS}
    return {metric: torch.cat([s.project([row]).values for row in ROWS]) for metric, s in scorers.items()}


@settings(max_examples=25)
@given(order=st.permutations(range(len(ROWS))), budget=st.integers(1, 400), metric=st.sampled_from(METRICS))
def test_scores_do_not_depend_on_order_or_token_budget(
    case: CaseFn, alone: dict[Metric, torch.Tensor], order: list[int], budget: int, metric: Metric
) -> None:
    one = case("llama")
    values = one.project([ROWS[i] for i in order], directions(one), metric=metric, batch_tokens=budget)
    assert_same(values, alone[metric][order])


@pytest.mark.parametrize("arch", tiny.ARCHITECTURES)
def test_padding_leaves_no_trace_in_any_architecture(case: CaseFn, arch: str) -> None:
    one = case(arch)
    scorer = Scorer(one.model, directions(one), batch_tokens=10_000)
    expected = torch.cat([scorer.project([row]).values for row in ROWS])
    assert_same(scorer.project(ROWS).values, expected)


def test_the_same_rows_give_the_same_bits(case: CaseFn) -> None:
    one = case("llama")
    scorer = Scorer(one.model, directions(one), batch_tokens=100)
    assert torch.equal(scorer.project(ROWS).values, scorer.project(ROWS).values)


def test_a_row_longer_than_the_budget_is_a_batch_of_its_own(
    case: CaseFn, alone: dict[Metric, torch.Tensor]
) -> None:
    one = case("llama")
    assert_same(one.project(ROWS, directions(one), batch_tokens=1), alone["cosine"])


@contextmanager
def watch_batches(model: Any, limit: int | None = None) -> Iterator[list[tuple[int, int]]]:
    """Lists (rows, tokens) of every forward pass; above `limit` padded tokens it runs out of memory."""
    shapes: list[tuple[int, int]] = []

    def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        rows, tokens = hidden.shape[:2]
        shapes.append((rows, tokens))
        if limit is not None and rows * tokens > limit:
            raise torch.OutOfMemoryError("out of memory, says the test")

    handle = model.model.layers[0].register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield shapes
    finally:
        handle.remove()


@pytest.mark.parametrize("budget", [64, 100, 200])
def test_batches_keep_to_the_token_budget(case: CaseFn, budget: int) -> None:
    one = case("llama")
    longest = max(len(row.ids) for row in ROWS)
    assert longest <= budget
    scorer = Scorer(one.model, directions(one)[:1], batch_tokens=budget)
    with watch_batches(one.model) as shapes:
        scorer.project(ROWS)
    assert sum(rows for rows, _ in shapes) == len(ROWS)
    assert all(rows * tokens <= budget for rows, tokens in shapes)
    assert len(shapes) < len(ROWS)


def test_one_forward_per_expansion_point(case: CaseFn) -> None:
    one = case("llama")
    danger, safety = directions(one)
    shared = Direction("safety", safety.vector, danger.expansion)
    same_but_scaled = Direction("safety", safety.vector, danger.expansion, 0.5)
    for pair, passes in (((danger, shared), 1), ((danger, safety), 2), ((danger, same_but_scaled), 2)):
        scorer = Scorer(one.model, pair, batch_tokens=10_000)
        with watch_batches(one.model) as shapes:
            scorer.project(ROWS)
        assert len(shapes) == passes


def test_out_of_memory_halves_the_budget_and_goes_on(case: CaseFn, alone: dict[Metric, torch.Tensor]) -> None:
    one = case("llama")
    limit = 130
    scorer = Scorer(one.model, directions(one), batch_tokens=1000)
    with watch_batches(one.model, limit) as shapes:
        values = scorer.project(ROWS).values
    failed = [rows * tokens for rows, tokens in shapes if rows * tokens > limit]
    assert 1 <= len(failed) <= 4, "1000 is halved at most three times, not once per batch"
    assert_same(values, alone["cosine"])


def test_out_of_memory_on_one_row_alone_is_an_error_and_no_endless_loop(case: CaseFn) -> None:
    one = case("llama")
    scorer = Scorer(one.model, directions(one), batch_tokens=200)
    with watch_batches(one.model, 0) as shapes, pytest.raises((SqsdLintError, torch.OutOfMemoryError)):
        scorer.project(ROWS[:3])
    assert len(shapes) < 30
    # The failure leaves nothing behind.
    assert torch.isfinite(scorer.project(ROWS[:3]).values).all()


def test_nan_stays_in_its_row(case: CaseFn) -> None:
    """A row whose update is not a number has no score; it must neither read as 0 nor spoil its neighbours."""
    one = Case("llama", case("llama").folders)
    bad = 17
    rows = [row for row in ROWS if bad not in row.ids]
    clean = one.project(rows, directions(one))
    with torch.no_grad():
        one.model.get_input_embeddings().weight[bad] = float("nan")
    ids = (5, 6, bad, 8, 9)
    mixed = [*rows[:3], encoded(ids, (-100, -100, -100, 8, 9)), *rows[3:]]
    values = one.project(mixed, directions(one), batch_tokens=10_000)
    assert torch.isnan(values[3]).all()
    assert_same(torch.cat([values[:3], values[4:]]), clean)


@pytest.mark.parametrize("position", [0, 2])
def test_a_row_without_response_tokens_is_refused(case: CaseFn, position: int) -> None:
    one = case("llama")
    rows: list[Encoded] = [*ROWS[:2]]
    rows.insert(position, encoded((5, 6, 7), (-100, -100, -100)))
    with pytest.raises(ValueError, match="response"):
        one.project(rows, directions(one))


def test_no_rows(case: CaseFn) -> None:
    one = case("llama")
    projections = Scorer(one.model, directions(one)).project([])
    assert projections.values.shape == (0, 2)
    assert projections.loss.shape == (0,)


@pytest.mark.parametrize("arch", ["llama", "gemma3", "gpt2"])
def test_bfloat16_ranks_rows_as_float32_does(case: CaseFn, arch: str) -> None:
    one = case(arch)
    rows = random_rows(40, seed=9)
    expected = one.project(rows, directions(one))
    half = Case(arch, one.folders)
    half.__dict__["model"] = tiny.make_model(arch, dtype=torch.bfloat16)
    values = half.project(rows, directions(half))
    assert values.dtype == torch.float64
    for column in range(2):
        correlation = torch.corrcoef(torch.stack([values[:, column], expected[:, column]]))[0, 1]
        assert correlation > 0.99


LENGTHS = st.lists(st.integers(2, 60), max_size=40)


def rows_of(lengths: list[int]) -> list[Encoded]:
    return [encoded(*tiny.random_sample(i, prompt=n - 1, response=1)) for i, n in enumerate(lengths)]


def padded(rows: list[Encoded], batch: list[int]) -> int:
    return len(batch) * max(len(rows[i].ids) for i in batch)


@given(lengths=LENGTHS, budget=st.integers(1, 400))
def test_every_row_is_in_one_batch_and_no_batch_is_over_budget(lengths: list[int], budget: int) -> None:
    rows = rows_of(lengths)
    batches = list(plan_batches(rows, budget))
    assert sorted(i for batch in batches for i in batch) == list(range(len(rows)))
    assert all(len(batch) == 1 or padded(rows, batch) <= budget for batch in batches)
    firsts = [max(len(rows[i].ids) for i in batch) for batch in batches]
    assert firsts == sorted(firsts, reverse=True)


@given(lengths=st.lists(st.integers(2, 60), max_size=9), budget=st.sampled_from([64, 160, 400]))
def test_no_other_cut_of_the_sorted_rows_costs_less(lengths: list[int], budget: int) -> None:
    def cost(batches: list[list[int]]) -> float:
        return sum(padded(rows, batch) + budget / 16 for batch in batches)

    rows = rows_of(lengths)
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i].ids))
    cuts = [
        [order[a:b] for a, b in pairwise([0, *inner, len(order)])]
        for n in range(len(order))
        for inner in combinations(range(1, len(order)), n)
    ]
    allowed = [cut for cut in cuts if all(len(b) == 1 or padded(rows, b) <= budget for b in cut)]
    least = min(map(cost, allowed), default=0.0)
    assert cost(list(plan_batches(rows, budget))) == pytest.approx(least)


@given(n=st.integers(0, 2000), most=st.integers(1, 60).map(lambda eighth: 8 * eighth))
def test_even_slices_cover_everything_in_the_fewest_steps(n: int, most: int) -> None:
    slices = even_slices(n, most)
    assert [i for part in slices for i in range(n)[part]] == list(range(n))
    assert len(slices) <= -(-n // most)
    assert all(part.stop - part.start <= most for part in slices)
    assert all((part.stop - part.start) % 8 == 0 for part in slices[:-1])
