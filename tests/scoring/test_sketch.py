"""Sketches keep the angles between updates: against exact cosines of full matrices."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import torch

from sqsd_lint.scoring import Direction, Scorer
from sqsd_lint.scoring.sketch import SketchSum, _hashes, sketch
from sqsd_lint.types import Encoded
from tests import oracle, tiny
from tests.scoring.cases import Case, random_rows
from tests.scoring.conftest import CaseFn

ROWS = random_rows(8, seed=5, longest=20)
GOLDEN_BUCKETS = [64, 389, 497, 127, 254, 256]
GOLDEN_SIGNS = [-1.0, 1.0, -1.0, 1.0, 1.0, -1.0]


def sketches(one: Case, rows: Sequence[Encoded], dims: int, **options: int) -> np.ndarray:
    directions: list[Direction] = [one.direction("danger", "initial"), one.direction("safety", "safety")]
    found = {}
    for batch, part in sketch(Scorer(one.model, directions, **options), rows, dims):
        found.update(zip(batch, part, strict=True))
    return np.stack([found[i] for i in range(len(rows))])


def exact(one: Case, rows: Sequence[Encoded]) -> np.ndarray:
    """Mean cosine over layers, of updates that the oracle holds as full matrices."""
    model = partial(tiny.make_model, one.arch, dtype=torch.float64, attention="eager")
    updates = [oracle.sample_update(model, one.folders["initial"], r.ids, r.labels)[0] for r in rows]
    near = np.ones((len(rows), len(rows)))
    for i, j in itertools.combinations(range(len(rows)), 2):
        cosines = [
            torch.cosine_similarity(updates[i][name].flatten(), updates[j][name].flatten(), dim=0)
            for name in updates[i]
        ]
        near[i, j] = near[j, i] = float(torch.stack(cosines).mean())
    return near


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_sketches_approximate_the_exact_cosines(case: CaseFn, arch: str) -> None:
    one = case(arch)
    near = exact(one, ROWS)
    pairs = np.triu_indices(len(ROWS), 1)
    assert np.ptp(near[pairs]) > 0.1, "the rows differ enough for the comparison to mean something"
    for dims in (512, 8192):
        s = sketches(one, ROWS, dims)
        error = (s @ s.T - near)[pairs]
        # 14 and 8 layers are few: the products' own variance, three times that of a dense projection at
        # most, has not averaged out.
        assert np.sqrt(np.mean(error**2)) < 1.7 / math.sqrt(dims)
        assert abs(error.mean()) < 1.5 / math.sqrt(dims)


def test_a_sketch_has_nearly_unit_length(case: CaseFn) -> None:
    lengths = np.linalg.norm(sketches(case("llama"), ROWS, 4096), axis=1)
    assert np.abs(lengths - 1).max() < 0.15


def test_neighbours_in_a_batch_change_nothing(case: CaseFn) -> None:
    one = case("llama")
    alone, together = (sketches(one, ROWS, 256, batch_tokens=n) for n in (1, 4096))
    assert np.allclose(alone, together, atol=1e-4)


def test_hashes_are_the_same_on_every_machine() -> None:
    """Sketches in a bundle are compared with sketches made elsewhere: these numbers must never change."""
    buckets, signs = _hashes("model.layers.0.self_attn.q_proj/in", 6, 512, torch.device("cpu"))
    assert buckets.tolist() == GOLDEN_BUCKETS
    assert signs.tolist() == GOLDEN_SIGNS
    other, _ = _hashes("model.layers.0.self_attn.q_proj/out", 6, 512, torch.device("cpu"))
    assert other.tolist() != buckets.tolist()


def test_an_outer_products_sketch_is_linear_and_exact_for_one_entry() -> None:
    """One entry of a matrix lands in one bucket with one sign: the definition of a count sketch."""
    sink = SketchSum(64)
    x, y = torch.zeros(1, 5), torch.zeros(1, 7)
    x[0, 3], y[0, 2] = 2.0, 3.0
    spectrum = sink._spectrum("l/out", x) * sink._spectrum("l/in", y)
    values = torch.fft.irfft(spectrum, n=64)[0]
    (at,) = values.abs().gt(1e-4).nonzero().flatten().tolist()
    (bo, so), (bi, si) = _hashes("l/out", 5, 64, x.device), _hashes("l/in", 7, 64, x.device)
    assert at == int(bo[3] + bi[2]) % 64
    assert float(values[at]) == pytest.approx(6.0 * float(so[3] * si[2]), rel=1e-5)


@pytest.mark.parametrize("dims", [0, 4, 100])
def test_only_powers_of_two(case: CaseFn, dims: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        sketches(case("llama"), ROWS[:1], dims)
