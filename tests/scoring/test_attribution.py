"""Token attributions: against autograd with factors of every position's own, and as an exact sum."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sqsd_lint.scoring import Direction, Scorer
from sqsd_lint.scoring.attribution import Attribution, attribute
from sqsd_lint.types import Encoded, Metric
from tests import oracle, tiny
from tests.scoring.cases import METRICS, Case, encoded, random_rows, two_turns
from tests.scoring.conftest import CaseFn

ROWS = [*random_rows(3, seed=8, longest=24), two_turns()]


def attributions(scorer: Scorer, rows: Sequence[Encoded]) -> list[Attribution]:
    """In the order of `rows`."""
    found = dict(pair for batch, part in attribute(scorer, rows) for pair in zip(batch, part, strict=True))
    return [found[i] for i in range(len(rows))]


def paper(one: Case) -> list[Direction]:
    return [one.direction("danger", "initial"), one.direction("safety", "safety", 1.0)]


def expected_shares(one: Case, row: Encoded, metric: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(shares of the tokens [t, 2], of the rest [2]) by the oracle, in float64."""
    model = partial(tiny.make_model, one.arch, dtype=torch.float64, attention="eager")
    columns = []
    for vector, expansion, scaling in (("danger", "initial", None), ("safety", "safety", 1.0)):
        terms = one.oracle(row, vector, expansion, scaling).terms
        split = oracle.oracle_positions(
            model, one.folders[expansion], one.folders[vector], row.ids, row.labels, scaling
        )
        column = torch.zeros(len(row.ids), dtype=torch.float64)
        for name, dots in split.items():
            term = terms[name]
            if term.norm_update and term.norm_vector:
                divisor = {
                    "cosine": term.norm_update * term.norm_vector,
                    "projection": term.norm_vector,
                    "dot": 1.0,
                }
                column += dots / divisor[metric]
        columns.append(column)
    positions = torch.stack(columns, 1)
    shares = torch.zeros_like(positions)
    for t, label in enumerate(row.labels):
        if t and label != -100:
            shares[t] = positions[t - 1]
    return shares, positions.sum(0) - shares.sum(0)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("arch", ["llama", "gpt2", "gemma2"])
def test_shares_are_the_oracles(case: CaseFn, arch: str, metric: Metric) -> None:
    one = case(arch)
    found = attributions(Scorer(one.model, paper(one), metric=metric), ROWS)
    for row, got in zip(ROWS, found, strict=True):
        tokens, rest = expected_shares(one, row, metric)
        size = float(tokens.abs().max()) + float(rest.abs().max())
        assert torch.tensor(got.tokens, dtype=torch.float64).sub(tokens).abs().max() < 1e-4 * size
        assert torch.tensor(got.rest, dtype=torch.float64).sub(rest).abs().max() < 1e-4 * size
        assert tokens.abs().max() > 1e-3 * size, "the comparison has something to compare"


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), metric=st.sampled_from(METRICS), budget=st.sampled_from([40, 4096]))
def test_shares_sum_to_the_score(case: CaseFn, seed: int, metric: Metric, budget: int) -> None:
    one = case("llama")
    scorer = Scorer(one.model, paper(one), metric=metric, batch_tokens=budget)
    rows = random_rows(3, seed=seed, longest=20)
    scores = scorer.project(rows, keep_modules=True)
    for i, got in enumerate(attributions(scorer, rows)):
        total = torch.tensor(got.tokens, dtype=torch.float64).sum(0) + torch.tensor(got.rest)
        terms = torch.stack([share[i] for share in scores.per_module.values()]).double()
        size = terms.square().sum(0).sqrt() + terms.sum(0).abs()
        assert ((total - scores.values[i]).abs() <= 1e-4 * size + 1e-7).all()
        assert torch.tensor(got.values).allclose(scores.values[i].float(), rtol=1e-5, atol=1e-6)
        assert got.loss == pytest.approx(float(scores.loss[i]), rel=1e-5)
        assert {name: pytest.approx(share[i].tolist()) for name, share in scores.per_module.items()} == (
            got.modules
        )


def test_tokens_that_are_not_trained_on_have_no_share(case: CaseFn) -> None:
    one = case("llama")
    row = two_turns()
    (got,) = attributions(Scorer(one.model, paper(one)), [row])
    for t, label in enumerate(row.labels):
        assert any(got.tokens[t]) == (label != -100)
    assert all(got.rest), "the prompt takes part through attention"


def test_neighbours_in_a_batch_change_nothing(case: CaseFn) -> None:
    one = case("llama")
    alone = attributions(Scorer(one.model, paper(one), batch_tokens=1), ROWS)
    together = attributions(Scorer(one.model, paper(one), batch_tokens=4096), ROWS)
    for a, b in zip(alone, together, strict=True):
        assert torch.tensor(a.tokens).allclose(torch.tensor(b.tokens), rtol=1e-3, atol=1e-5)


def test_shares_of_a_low_precision_pass_still_sum_to_its_score(case: CaseFn) -> None:
    one = case("llama")
    model = tiny.make_model("llama", dtype=torch.bfloat16)
    for got in attributions(Scorer(model, paper(one)), ROWS):
        total = torch.tensor(got.tokens).sum(0) + torch.tensor(got.rest)
        assert total.allclose(torch.tensor(got.values), atol=0.05)


def test_adapters_without_a_layer_in_common_share_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("apart")
    folders = {
        "danger": tiny.save_adapter(root / "danger", seed=21, targets=["q_proj"]),
        "initial": tiny.save_adapter(root / "initial", seed=22, targets=["o_proj"]),
    }
    one = Case("llama", folders)
    (got,) = attributions(Scorer(one.model, [one.direction("danger", "initial")]), [ROWS[0]])
    assert got.values == (0.0,)
    assert set(got.tokens) == {(0.0,)}


def test_a_row_without_a_response_is_refused(case: CaseFn) -> None:
    one = case("llama")
    row = encoded((5, 6, 7), (-100, -100, -100))
    with pytest.raises(ValueError, match="no response token"):
        list(attribute(Scorer(one.model, paper(one)), [row]))
