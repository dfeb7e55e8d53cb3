"""Low-rank figures against whole matrices in float64, and what must leave them as they are."""

from __future__ import annotations

import math
from dataclasses import asdict
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.common.module_names import top_blocks
from sqsd_lint.drift.directions import WeightDirection, WeightDirections, in_order
from sqsd_lint.drift.displacement import cosine, drift_of, inner, minus, project
from sqsd_lint.drift.lowrank import LowRank
from sqsd_lint.drift.run import LowRankSteps
from sqsd_lint.errors import AdapterError
from tests.drift.runs import SIZES, dense, displacement, flat, low_rank, oracle_along, random_directions

SEEDS = st.integers(3, 10_000)


def close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


def test_the_figures_are_those_of_whole_matrices() -> None:
    directions, moved = random_directions(), displacement(5, r=4)
    found = project(directions, moved)
    whole = dense(moved)
    assert found.norm == pytest.approx(float(flat(whole, SIZES).norm()))
    for along, direction in ((found.danger, directions.danger), (found.safety, directions.safety)):
        assert asdict(along) == pytest.approx(oracle_along(whole, dense(direction.layers)))
    assert found.difference == pytest.approx(found.danger.projection - found.safety.projection)
    assert [layer.module for layer in found.layers] == list(SIZES)
    for layer in found.layers:
        D, V = whole[layer.module], dense(directions.safety.layers)[layer.module]
        assert layer.norm == pytest.approx(float(D.norm()))
        assert layer.safety == pytest.approx(float((D * V).sum() / V.norm()))
        assert layer.safety_cosine == pytest.approx(float((D * V).sum() / V.norm() / D.norm()))


def test_a_dense_displacement_gives_the_same() -> None:
    directions, moved = random_directions(), displacement(5)
    low, full = project(directions, moved), project(directions, dense(moved))
    assert asdict(low.danger) == pytest.approx(asdict(full.danger))
    assert low.norm == pytest.approx(full.norm)


def test_layers_that_only_one_side_has() -> None:
    directions = WeightDirections(
        WeightDirection(displacement(1)), WeightDirection({"model.layers.0.q": low_rank(9, (5, 7))})
    )
    moved = {"model.layers.0.q": low_rank(7, (5, 7)), "lm_head": low_rank(8, (3, 5))}
    found = project(directions, moved)
    assert found.norm == pytest.approx(float(dense(moved)["model.layers.0.q"].norm()))
    assert found.outside == pytest.approx(float(dense(moved)["lm_head"].norm()))
    assert asdict(found.danger) == pytest.approx(
        oracle_along({"model.layers.0.q": dense(moved)["model.layers.0.q"]}, dense(directions.danger.layers))
    )
    last = found.layers[-1]
    assert (last.module, last.norm, last.danger) == ("model.layers.10.q", 0.0, 0.0)
    assert math.isnan(last.danger_cosine)
    assert math.isnan(last.safety)


def test_nothing_moved_has_no_direction() -> None:
    found = project(random_directions(), {})
    assert (found.norm, found.danger.projection, found.difference) == (0.0, 0.0, 0.0)
    assert math.isnan(found.danger.cosine)
    assert math.isnan(found.danger.layer_cosine)


def test_a_direction_lies_along_itself() -> None:
    directions = random_directions()
    found = project(directions, directions.danger.layers).danger
    assert (found.cosine, found.layer_cosine, found.share) == pytest.approx((1, 1, 1))
    assert found.projection == pytest.approx(directions.danger.norm)
    whole = [flat(dense(direction.layers), SIZES) for direction in (directions.danger, directions.safety)]
    assert directions.cosine == pytest.approx(float(whole[0] @ whole[1] / whole[0].norm() / whole[1].norm()))


def test_another_shape_is_named() -> None:
    with pytest.raises(AdapterError, match=r"model\.layers\.0\.q is 7 x 5 in the run, 5 x 7 in the bundle"):
        project(random_directions(), {"model.layers.0.q": low_rank(1, (7, 5))})


@given(SEEDS, st.floats(0.01, 100), st.booleans())
def test_factors_may_be_scaled_against_each_other(seed: int, c: float, negative: bool) -> None:
    directions, moved, c = random_directions(), displacement(seed), -c if negative else c
    scaled = {name: LowRank(low.up * c, low.down / c) for name, low in moved.items()}
    for a, b in zip(
        asdict(project(directions, moved)).values(), asdict(project(directions, scaled)).values(), strict=True
    ):
        if isinstance(a, dict):
            assert all(close(a[key], b[key]) for key in a)
        elif isinstance(a, float):
            assert close(a, b)


@given(SEEDS, SEEDS, st.integers(1, 4), st.integers(1, 4))
def test_sums_and_differences_are_those_of_matrices(a: int, b: int, r: int, q: int) -> None:
    x, y = low_rank(a, (5, 7), r), low_rank(b, (5, 7), q)
    X, Y = x.up @ x.down, y.up @ y.down
    for low, whole in ((x + y, X + Y), (x - y, X - Y), (-x, -X)):
        assert torch.allclose(low.up @ low.down, whole, rtol=1e-12, atol=1e-12)
        assert close(low.square, float(whole.square().sum()))
        assert close(low.dot(y), float((whole * Y).sum()))
    assert (x - x).square == 0.0


@given(SEEDS, st.floats(1e-9, 1e-3))
def test_a_tiny_step_keeps_its_digits(seed: int, size: float) -> None:
    before, push = low_rank(seed, (5, 7)), low_rank(seed + 1, (5, 7))
    after = LowRank(before.up + size * push.up, before.down)
    exact = float(((after.up - before.up) @ before.down).norm())
    assert math.isclose(math.sqrt((after - before).square), exact, rel_tol=1e-6)


@given(SEEDS, st.integers(0, 4))
def test_parts_of_a_matrix_add_up(seed: int, cut: int) -> None:
    directions, moved = random_directions(), displacement(seed)
    (name, low), *_ = moved.items()
    whole = low.up @ low.down
    halves = [torch.cat([whole[:cut], 0 * whole[cut:]]), torch.cat([0 * whole[:cut], whole[cut:]])]
    total = inner(directions, name, halves[0]) + inner(directions, name, halves[1])
    one = inner(directions, name, low)
    assert (total.square, total.danger, total.safety) == pytest.approx((one.square, one.danger, one.safety))
    assert drift_of(directions, {name: one}).norm == pytest.approx(math.sqrt(one.square))


def test_a_walk_measures_from_the_start_and_from_the_state_before() -> None:
    directions, start = random_directions(), displacement(3)
    states = [displacement(seed) for seed in (4, 5, 6)]
    walk = LowRankSteps(directions, start)
    moves = [walk.advance(state) for state in states]
    whole = [flat(dense(state), SIZES) for state in (start, *states)]
    steps = [b - a for a, b in pairwise(whole)]
    assert math.isnan(moves[0].turn)
    for k, move in enumerate(moves):
        assert move.total.norm == pytest.approx(float((whole[k + 1] - whole[0]).norm()))
        assert move.last.norm == pytest.approx(float(steps[k].norm()))
        if k:
            turn = steps[k] @ steps[k - 1] / steps[k].norm() / steps[k - 1].norm()
            assert move.turn == pytest.approx(float(turn))
    assert cosine(minus(states[0], start), minus(states[0], start)) == pytest.approx(1)


def test_modules_are_ordered_by_number_and_cut_from_the_top() -> None:
    names = ["h.10.q", "h.2.q", "lm_head", "h.2.a"]
    assert in_order(names) == ("h.2.a", "h.2.q", "h.10.q", "lm_head")
    assert top_blocks(names, "all") == set(names)
    assert top_blocks(names, 1) == {"h.10.q"}
