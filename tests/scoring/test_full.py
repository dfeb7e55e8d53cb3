"""Updates of whole weights: against autograd's own weight gradients, in float64 and one row at a time."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from sqsd_lint.adapters.factors import Adapter
from sqsd_lint.scoring import Direction, Scorer
from sqsd_lint.scoring.attribution import attribute
from sqsd_lint.scoring.layers import full as full_module
from sqsd_lint.scoring.layers.full import gradient_norm_squared
from sqsd_lint.scoring.layers.lora import Gradient
from sqsd_lint.scoring.sketch import sketch
from sqsd_lint.types import Encoded
from tests import oracle, tiny
from tests.scoring.cases import METRICS, Case, encoded, random_rows, tolerance, two_turns
from tests.scoring.conftest import CaseFn

ROWS = [*random_rows(4), two_turns(), encoded(*tiny.random_sample(5, prompt=24, response=1))]
BASE = Adapter({})
Pair = tuple[str, str | None, float | None]


def direction(case: Case, vector: str, expansion: str | None, scaling: float | None) -> Direction:
    if expansion is not None:
        return case.direction(vector, expansion, scaling)
    return Direction(vector, case.direction(vector, vector).vector, BASE)


def expected(case: Case, row: Encoded, pair: Pair) -> oracle.Projection:
    vector, expansion, scaling = pair
    exact = partial(tiny.make_model, case.arch, dtype=torch.float64, attention="eager")
    at = None if expansion is None else case.folders[expansion]
    return oracle.full_terms(exact, at, case.folders[vector], row.ids, row.labels, scaling)


def assert_agrees(case: Case, rows: list[Encoded], pairs: list[Pair]) -> None:
    directions = [direction(case, *pair) for pair in pairs]
    truth = [[expected(case, row, pair) for pair in pairs] for row in rows]
    for metric in METRICS:
        found = Scorer(case.model, directions, metric=metric, update="full").project(rows)
        for i, projections in enumerate(truth):
            for j, projection in enumerate(projections):
                assert found.values[i, j].item() == pytest.approx(
                    projection.value(metric), rel=0, abs=tolerance(projection, metric)
                ), f"{case.arch}, {metric}, row {i}, {pairs[j]}"
            assert found.loss[i].item() == pytest.approx(projections[0].loss, rel=1e-5)


@pytest.mark.parametrize("arch", ["llama", "gpt2", "phi3"])
def test_every_metric_is_autograds(case: CaseFn, arch: str) -> None:
    """Danger at the initial state, safety at itself with another scaling, and both at the model as it is."""
    pairs: list[Pair] = [("danger", "initial", None), ("safety", "safety", 0.8), ("danger", None, None)]
    assert_agrees(case(arch), ROWS, pairs)


def test_two_directions_at_the_base_share_a_pass(case: CaseFn) -> None:
    one = case("llama")
    pairs: list[Pair] = [("danger", None, None), ("safety", None, None)]
    assert len(Scorer(one.model, [direction(one, *p) for p in pairs], update="full").points) == 1
    assert_agrees(one, ROWS[:2], pairs)


@pytest.mark.parametrize(
    ("danger", "initial"),
    [(["q_proj", "down_proj"], "all-linear"), (["q_proj", "up_proj"], ["q_proj", "o_proj"])],
    ids=["subset", "different-subsets"],
)
def test_a_layer_needs_a_direction_and_no_expansion_adapter(
    tmp_path: Path, danger: list[str], initial: str | list[str]
) -> None:
    folders = {
        "danger": tiny.save_adapter(tmp_path / "danger", seed=21, targets=danger),
        "initial": tiny.save_adapter(tmp_path / "initial", seed=22, targets=initial),
    }
    assert_agrees(Case("llama", folders), ROWS[:2], [("danger", "initial", None)])


@pytest.mark.parametrize("block", [8, 16])
def test_pairs_of_tokens_may_be_taken_in_blocks(
    case: CaseFn, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_module, "_BLOCK", block)
    x, d = torch.randn(3, 37, 5), torch.randn(3, 37, 4)
    norms = (d.transpose(1, 2) @ x).square().sum((1, 2))
    torch.testing.assert_close(gradient_norm_squared(x, d), norms)


def test_memory_of_the_norm_grows_with_the_tokens_and_not_with_their_square() -> None:
    from tests.scoring.test_no_waste import Allocations

    x = torch.randn(1, 2048, 3)
    with Allocations(torch.nn.Identity()) as made:
        gradient_norm_squared(x, x)
    assert max(torch.Size(shape).numel() for shape in made.shapes) <= 256 * 256


def test_a_score_does_not_depend_on_the_batch(case: CaseFn) -> None:
    one = case("llama")
    directions = [direction(one, "danger", "initial", None), direction(one, "safety", "safety", 1.0)]
    together = Scorer(one.model, directions, update="full", batch_tokens=10_000).project(ROWS).values
    alone = Scorer(one.model, directions, update="full", batch_tokens=1).project(ROWS).values
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_no_full_matrix_is_made(case: CaseFn) -> None:
    from tests.scoring.test_no_waste import Allocations

    one = case("llama")
    scorer = Scorer(one.model, [direction(one, "danger", "initial", None)], update="full")
    with Allocations(one.model) as made:
        scorer.project(ROWS)
    assert made.shapes
    assert made.matrices(71, 40) == []


def test_drift_is_what_a_small_step_on_the_weights_does(case: CaseFn) -> None:
    """<-dl/dW, D> / ||D||^2 with D the danger adapter's displacement: no scaling of the expansion point."""
    one = case("gpt2")
    scaling = 4 / 2  # alpha / r of the case's danger adapter
    found = Scorer(one.model, [direction(one, "danger", "initial", None)], update="full").project(ROWS[:2])
    for i, row in enumerate(ROWS[:2]):
        terms = expected(one, row, ("danger", "initial", None)).terms.values()
        along = sum(scaling * term.dot for term in terms)
        length = sum((scaling * term.norm_vector) ** 2 for term in terms)
        assert found.drift[i, 0].item() == pytest.approx(along / length, rel=1e-4)


def test_shares_of_tokens_sum_to_the_projection(case: CaseFn) -> None:
    one = case("llama")
    scorer = Scorer(one.model, [direction(one, "danger", "initial", None)], update="full")
    values = scorer.project(ROWS).values
    for batch, found in attribute(scorer, ROWS):
        for i, one_row in zip(batch, found, strict=True):
            total = sum(share for (share,) in one_row.tokens) + one_row.rest[0]
            assert total == pytest.approx(values[i, 0].item(), abs=1e-4)
            assert one_row.values[0] == pytest.approx(values[i, 0].item(), abs=1e-5)


def test_what_a_full_update_cannot_have(case: CaseFn) -> None:
    one = case("llama")
    scorer = Scorer(one.model, [direction(one, "danger", None, None)], update="full")
    with pytest.raises(ValueError, match="sketches are made of LoRA updates only"):
        sketch(scorer, ROWS, 64)
    at = one.direction("danger", "initial").expansion
    with pytest.raises(ValueError, match="gradient of LoRA factors"):
        Scorer(one.model, [Direction("danger", Gradient.of_adapter(at), at)], update="full")
