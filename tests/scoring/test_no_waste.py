"""What a pass must not do: make full matrices, run the head over prompts, leave traces in the model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sqsd_lint.scoring import Direction, Scorer
from tests import tiny
from tests.scoring.cases import Case, encoded, random_rows
from tests.scoring.conftest import CaseFn

ROWS = random_rows(6, seed=4, longest=24)


class Allocations(TorchDispatchMode):
    """Shapes of all tensors that come out of an operator and are not views of the model's parameters."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self.shapes: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.untyped_storage().data_ptr() not in self.weights:
                self.shapes.add(tuple(leaf.shape))
        return result

    def matrices(self, d_out: int, d_in: int) -> list[tuple[int, ...]]:
        return [shape for shape in self.shapes if shape[-2:] in {(d_out, d_in), (d_in, d_out)}]

    def rows_of_width(self, width: int) -> int:
        """Most vectors of this width in one tensor."""
        return max((torch.Size(s).numel() // width for s in self.shapes if s and s[-1] == width), default=0)


def directions(one: Case) -> list[Direction]:
    return [one.direction("danger", "initial"), one.direction("safety", "safety", 1.0)]


# gate_proj and gate_up_proj are 71 and 142 wide: no count of tokens below comes to that.
@pytest.mark.parametrize(
    ("arch", "d_out", "d_in"), [("llama", 71, 40), ("gpt2", 71, 40), ("gpt2", 120, 40), ("phi3", 142, 40)]
)
@pytest.mark.parametrize("budget", [10_000, 40])
def test_no_full_matrix_is_made(case: CaseFn, arch: str, d_out: int, d_in: int, budget: int) -> None:
    one = case(arch)
    scorer = Scorer(one.model, directions(one), batch_tokens=budget)
    with Allocations(one.model) as made:
        scorer.project(ROWS)
    assert made.shapes, "the mode saw the pass"
    assert made.matrices(d_out, d_in) == []


def test_the_detector_sees_a_weight_gradient() -> None:
    model = tiny.make_model("llama")
    row = ROWS[0]
    with Allocations(model) as made:
        model(input_ids=torch.tensor([row.ids]), labels=torch.tensor([row.labels])).loss.backward()
    assert made.matrices(71, 40)
    assert made.rows_of_width(tiny.VOCAB) >= len(row.ids)


@pytest.mark.parametrize("arch", ["llama", "gemma2", "gpt2", "granite"])
def test_the_head_runs_on_response_positions_only(case: CaseFn, arch: str) -> None:
    one = case(arch)
    rows = [encoded(*tiny.random_sample(seed, prompt=40, response=4)) for seed in range(5)]
    with Allocations(one.model) as made:
        one.project(rows, directions(one), batch_tokens=10_000)
    assert 0 < made.rows_of_width(tiny.VOCAB) <= 5 * 4


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_the_model_is_left_as_it_was(case: CaseFn, arch: str) -> None:
    one = Case(arch, case(arch).folders)
    model = one.model
    before = copy.deepcopy(model.state_dict())
    ids = torch.tensor([ROWS[0].ids])
    with torch.no_grad():
        logits = model(ids).logits
    Scorer(model, directions(one)).project(ROWS)

    assert all(p.grad is None for p in model.parameters())
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    hooks = [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks or m._backward_hooks]
    assert hooks == []
    with torch.no_grad():
        assert torch.equal(model(ids).logits, logits)


def test_dropout_is_off_whatever_mode_the_model_is_in(case: CaseFn) -> None:
    one = Case("gpt2", case("gpt2").folders)
    assert one.model.config.resid_pdrop > 0
    expected = one.project(ROWS, directions(one))
    one.model.train()
    values = one.project(ROWS, directions(one))
    assert torch.equal(values, expected)


def test_a_pass_works_inside_no_grad(case: CaseFn) -> None:
    one = case("llama")
    expected = one.project(ROWS, directions(one))
    with torch.no_grad():
        assert torch.equal(one.project(ROWS, directions(one)), expected)


def test_interleaved_scorers_do_not_disturb_each_other(case: CaseFn) -> None:
    """Two scorers on one model: the expansion point of one is no part of the other's forward pass."""
    one = case("llama")
    danger, safety = directions(one)
    make: list[Callable[[], Scorer]] = [
        lambda: Scorer(one.model, [danger]),
        lambda: Scorer(one.model, [safety]),
    ]
    apart = [build().project(ROWS).values for build in make]
    first, second = (build() for build in make)
    assert torch.equal(second.project(ROWS).values, apart[1])
    assert torch.equal(first.project(ROWS).values, apart[0])
