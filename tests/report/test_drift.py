"""A measured run as text and JSON, and its picture."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from sqsd_lint.drift.directions import WeightDirection, WeightDirections
from sqsd_lint.drift.plot import block_table, plot
from sqsd_lint.drift.run import LowRankSteps
from sqsd_lint.drift.trajectory import Point, Skipped, State, Trajectory
from sqsd_lint.report.views.drift import write_json, write_text
from sqsd_lint.resources import load_schema
from tests.drift.runs import displacement, random_directions
from tests.report.golden import assert_golden

RUN = Path("out/run")
BUNDLE: Any = SimpleNamespace(
    id="tiny",
    digest="0123456789abcdef" * 4,
    manifest=SimpleNamespace(
        base_model=SimpleNamespace(id="org/tiny-1b"),
        directions={name: SimpleNamespace(kind="task-vector") for name in ("danger", "safety")},
    ),
)


def state(step: int | None) -> State:
    label = "final" if step is None else str(step)
    return State(label, step, RUN / f"checkpoint-{step}" if step else RUN)


@pytest.fixture
def directions() -> WeightDirections:
    return random_directions()


@pytest.fixture
def trajectory(directions: WeightDirections) -> Trajectory:
    walk = LowRankSteps(directions)
    seeds = ((20, 5), (1000, 6), (None, 6))
    points = tuple(Point(state(step), walk.advance(displacement(seed))) for step, seed in seeds)
    return Trajectory(
        kind="adapter",
        start="the base model",
        points=points,
        skipped=(Skipped(state(40), "out/run/checkpoint-40: \x1b[31mcut short", "measure it later"),),
        angle=directions.cosine,
        outside=("lm_head", "a", "b", "c"),
        untouched=("model.layers.0.q",),
        notes=("take care",),
    )


def text(trajectory: Trajectory) -> str:
    stream = io.StringIO()
    write_text(RUN, BUNDLE, trajectory, stream)
    return stream.getvalue()


def test_the_text(trajectory: Trajectory) -> None:
    shown = text(trajectory)
    assert "\x1b" not in shown
    assert max(map(len, shown.partition("\n\nfurthest")[0].splitlines())) <= 80
    assert_golden("drift.txt", shown)


def test_the_json_keeps_its_schema(trajectory: Trajectory) -> None:
    stream = io.StringIO()
    write_json(RUN, BUNDLE, trajectory, stream)
    written = json.loads(stream.getvalue())
    Draft202012Validator(load_schema("drift")).validate(written)
    first, _, last = written["states"]
    move = trajectory.points[0].move
    assert first["total"]["danger"]["projection"] == move.total.danger.projection
    assert [layer["module"] for layer in first["total"]["layers"]] == [x.module for x in move.total.layers]
    assert first["last"]["turn"] is None
    assert (last["step"], last["last"]["danger"]["cosine"]) == (None, None), "no step, no direction"
    assert written["skipped"][0]["step"] == 40


def test_a_gradient_has_no_share(directions: WeightDirections) -> None:
    gradients = WeightDirections(
        WeightDirection(directions.danger.layers, "margin-gradient"),
        WeightDirection(directions.safety.layers, "margin-gradient"),
    )
    walk = LowRankSteps(gradients)
    move = walk.advance(displacement(5))
    assert math.isnan(move.total.danger.share)
    trajectory = Trajectory("adapter", "0", (Point(state(1), move),), (), directions.cosine, (), ())
    assert "%" not in text(trajectory)


def test_blocks_add_up_to_the_whole(trajectory: Trajectory) -> None:
    names, danger, safety = block_table(trajectory)
    assert names == ["0", "1", "10"]
    for column, point in enumerate(trajectory.points):
        assert sum(row[column] for row in danger) == pytest.approx(point.move.total.danger.layer_projection)
        assert sum(row[column] for row in safety) == pytest.approx(point.move.total.safety.layer_projection)


@pytest.mark.parametrize("angle", [None, 1.0, math.nan])
def test_the_picture(trajectory: Trajectory, tmp_path: Path, angle: float | None) -> None:
    drawn = trajectory if angle is None else replace(trajectory, angle=angle)
    plot(drawn, tmp_path / "a", format="png", dark=True)
    assert (tmp_path / "a").read_bytes().startswith(b"\x89PNG")
    for name in ("b", "c"):
        plot(drawn, tmp_path / name, format="svg", title="$run_1$ along <tiny>")
    svg = (tmp_path / "b").read_text()
    assert svg == (tmp_path / "c").read_text(), "the same run gives the same file"
    assert "displacement along danger" in svg
    assert "per block, along safety" in svg
