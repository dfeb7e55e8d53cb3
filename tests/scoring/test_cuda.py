"""The same scores on a CUDA device: float32 against the CPU, bfloat16 by rank. Skipped without one."""

from __future__ import annotations

import copy

import pytest
import torch
from scipy.stats import spearmanr

from sqsd_lint.scoring import Scorer
from tests import tiny
from tests.scoring.cases import METRICS, random_rows
from tests.scoring.conftest import CaseFn

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

ROWS = random_rows(40, seed=11)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("arch", tiny.ARCHITECTURES)
def test_float32_is_the_cpus(case: CaseFn, arch: str, metric: str) -> None:
    one = case(arch)
    directions = [one.direction("danger", "initial"), one.direction("safety", "safety", 1.0)]
    expected = Scorer(one.model, directions, metric=metric).project(ROWS).values
    on_gpu = copy.deepcopy(one.model).to("cuda")
    found = Scorer(on_gpu, directions, metric=metric).project(ROWS).values
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())


def test_bfloat16_keeps_the_order(case: CaseFn) -> None:
    one = case("llama")
    directions = [one.direction("danger", "initial"), one.direction("safety", "initial")]
    exact = Scorer(one.model, directions).project(ROWS).values
    rough = Scorer(copy.deepcopy(one.model).to("cuda", torch.bfloat16), directions).project(ROWS).values
    assert spearmanr(exact[:, 0], rough[:, 0])[0] >= 0.98


def test_a_small_budget_gives_the_same_scores(case: CaseFn) -> None:
    one = case("llama")
    directions = [one.direction("danger", "initial")]
    on_gpu = copy.deepcopy(one.model).to("cuda")
    whole = Scorer(on_gpu, directions).project(ROWS).values
    parts = Scorer(on_gpu, directions, batch_tokens=64).project(ROWS).values
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-4)
