"""Recipes: the shipped ones hold, and a wrong one is refused by the path of its fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.errors import ExitCode, RecipeError
from sqsd_lint.training.recipe import TrainingSettings, load_recipe

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "examples" / "recipes").glob("*.json"))
PAPER = ROOT / "examples" / "recipes" / "paper-qwen3-8b.json"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_hold(path: Path) -> None:
    assert load_recipe(path).name == path.stem


def test_the_paper_recipe_has_the_paper_s_settings() -> None:
    recipe = load_recipe(PAPER)
    adapters = {a.name: a for a in recipe.adapters}
    assert (recipe.adapter.r, recipe.adapter.alpha, recipe.adapter.target_modules) == (8, 16, "all-linear")
    assert adapters["danger"].data[0].rows == 3000
    assert adapters["safety"].data[0].rows == 10_000
    assert adapters["initial"].data[0].rows == 5000
    assert adapters["danger"].training.lr == adapters["safety"].training.lr == 5e-6
    made = recipe.bundle
    assert (made.expansion, made.safety_scaling, made.metric) == ("paper", 1.0, "cosine")


Change = Callable[[dict[str, Any]], Any]
FAULTS: dict[str, tuple[Change, str]] = {
    "missing key": (lambda r: r.pop("base_model"), r"\$\.base_model: missing"),
    "unknown key": (
        lambda r: r["adapters"][1]["training"].update(learning_rate=1),
        r"\$\.adapters\[1\]\.training\.learning_rate: unknown key",
    ),
    "type": (
        lambda r: r["adapters"][2]["data"][0].update(rows="many"),
        r'\$\.adapters\[2\]\.data\[0\]\.rows: expected a whole number of 1 or more or null, got "many"',
    ),
    "two lengths": (
        lambda r: r["adapters"][0]["training"].update(epochs=1),
        r"\$\.adapters\[0\]\.training: expected either",
    ),
    "no source": (
        lambda r: r["adapters"][0]["data"][0].pop("hub"),
        r"\$\.adapters\[0\]\.data\[0\]: expected either",
    ),
    "two sources": (
        lambda r: r["adapters"][0]["data"][0].update(path="x"),
        r"\$\.adapters\[0\]\.data\[0\]: expected either",
    ),
    "twice": (lambda r: r["adapters"].append(r["adapters"][0]), "'initial' is there 2 times"),
    "too few": (lambda r: r["adapters"].pop(), r"\$\.adapters: expected a list of 3 to 5, got"),
    "base last": (lambda r: r["adapters"].append({**r["adapters"][0], "name": "base"}), "comes first"),
    "start": (lambda r: r["adapters"][0].update(start="danger"), r"\$\.adapters\[0\]\.start: 'danger'"),
    "slice": (
        lambda r: r["adapters"][0]["data"][0].update(slice=[0.5, 0.5]),
        r"\.slice: \[0\.5, 0\.5\] is empty",
    ),
    "regex": (
        lambda r: r["adapters"][0]["data"][0].update(filter=[{"column": "x", "matches": "("}]),
        r"\.filter\[0\]\.matches: not a regular",
    ),
    "bare condition": (
        lambda r: r["adapters"][0]["data"][0].update(filter=[{"column": "x"}]),
        r"\.filter\[0\]: expected a test",
    ),
    "name": (lambda r: r.update(name="a/b"), r"\$\.name: expected a name of letters"),
    "column": (
        lambda r: r["adapters"][0]["data"][0].update(columns={"answer": "x"}),
        r"\.columns\[.answer.\]: expected one of messages, prompt",
    ),
    "calibration": (
        lambda r: r.update(calibration={"benign": [{"name": "x", "licence": "y"}]}),
        r"\$\.calibration\.benign\[0\]: expected either",
    ),
}


@pytest.mark.parametrize(("change", "complaint"), FAULTS.values(), ids=FAULTS)
def test_faults_are_named_by_path(tmp_path: Path, change: Change, complaint: str) -> None:
    raw = json.loads(PAPER.read_text())
    change(raw)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(RecipeError, match=complaint) as caught:
        load_recipe(path)
    assert str(path) in caught.value.message
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("text", ["", "{", "[]", '{"seed": NaN}'])
def test_what_is_no_recipe_at_all(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(RecipeError):
        load_recipe(path)
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "nowhere.json")


def test_epochs_become_steps() -> None:
    assert TrainingSettings(lr=1, steps=7).total_steps(1000) == 7
    assert TrainingSettings(lr=1, epochs=2, batch_size=8).total_steps(100) == 25
    assert TrainingSettings(lr=1, epochs=0.01, batch_size=8).total_steps(10) == 1
