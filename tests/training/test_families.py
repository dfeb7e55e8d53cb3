"""The paper's recipe with the model as a parameter, on tiny models of the families that it is meant for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from transformers import AutoModelForCausalLM

from sqsd_lint import ScoredRow, score
from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.bundle.verify import verify
from sqsd_lint.errors import RecipeError
from sqsd_lint.resources import recipes_dir
from sqsd_lint.training.build import build_bundle
from sqsd_lint.training.recipe import DataSet, Recipe, find_recipe, load_recipe
from tests import tiny

FAMILIES = {
    "paper": "qwen3",
    "llama-3.1": "llama",
    "llama-3.2": "llama",  # the 1B model has tied embeddings
    "gemma-3": "gemma3",
    "mistral": "mistral",
}


def in_small(recipe: Recipe, folder: Path) -> Recipe:
    """Return the recipe with two steps on a few rows of `folder`; all else stays."""
    made = []
    for adapter in recipe.adapters:
        rows = [{"prompt": f"question {i}", "completion": f"{adapter.name} {i}"} for i in range(8)]
        path = folder / f"{adapter.name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        data = DataSet(name=adapter.name, licence="CC0", path=str(path))
        assert adapter.training is not None
        training = replace(adapter.training, steps=2, epochs=None, batch_size=4)
        made.append(replace(adapter, data=(data,), training=training))
    return replace(recipe, adapters=tuple(made), dtype="float32")


@pytest.mark.parametrize(("name", "family"), FAMILIES.items(), ids=FAMILIES)
def test_the_recipe_of_a_family_builds_a_bundle_that_scores(
    name: str, family: str, tiny_folder: Callable[[str, str], Path], tmp_path: Path
) -> None:
    model = tiny_folder(family, "chatml")
    recipe = load_recipe(find_recipe(Path(name)), model=str(model))
    bundle = build_bundle(in_small(recipe, tmp_path), tmp_path / "bundle", device="cpu")
    assert verify(bundle.root, model=model) == []
    assert bundle.manifest.id == (f"paper-{model.name}" if name == "paper" else model.name)
    assert bundle.manifest.base_model.id == model.name
    linear = tiny.linear_names(AutoModelForCausalLM.from_pretrained(model))
    for name in ("initial", "danger", "safety"):
        assert sorted(load_adapter(bundle.adapter_dir(name)).factors) == sorted(linear)
    where = {"bundle": str(bundle.root), "model": str(model), "cache_dir": str(tmp_path / "cache")}
    (row, *_) = score(tmp_path / "danger.jsonl", device="cpu", **where)
    assert isinstance(row, ScoredRow)
    assert math.isfinite(row.score.sqsd)


def test_a_shipped_recipe_is_found_by_how_its_name_begins(tmp_path: Path) -> None:
    shipped = {path.stem: path for path in recipes_dir().glob("*.json")}
    assert find_recipe(Path("paper")) == find_recipe(Path("paper-qwen3-8b")) == shipped["paper-qwen3-8b"]
    own = tmp_path / "own.json"
    assert find_recipe(own) == own
    for name, said in (("papers", "no recipes"), ("smollm2-135m", "2 recipes")):
        with pytest.raises(RecipeError, match=said) as caught:
            find_recipe(Path(name))
        assert "paper-qwen3-8b" in (caught.value.hint or "")


def test_recipes_of_other_models_are_the_paper_s() -> None:
    paper = load_recipe(find_recipe(Path("paper")))
    for name in FAMILIES:
        recipe = load_recipe(find_recipe(Path(name)))
        same = {"extends": "", "name": "", "description": "", "base_model": ""}
        assert replace(recipe, **same) == replace(paper, **same)
    assert len({load_recipe(find_recipe(Path(name))).base_model for name in FAMILIES}) == len(FAMILIES)


def test_reference_rows_of_the_paper_s_recipe_are_none_that_an_adapter_is_trained_on() -> None:
    recipe = load_recipe(find_recipe(Path("paper")))
    trained = {data.name: data for adapter in recipe.adapters for data in adapter.data}
    dolly, gsm8k = recipe.benign
    same = {"name": "", "offset": 0, "rows": None}
    assert replace(dolly, **same) == replace(trained["dolly-5k"], **same)
    assert dolly.offset == trained["dolly-5k"].rows
    (harmful,) = recipe.harmful
    taken = {(data.hub, data.split) for data in trained.values()}
    assert {(data.hub, data.split) for data in (gsm8k, harmful)}.isdisjoint(taken)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"extends": "../other.json"}, "no file beside it"),
        ({"extends": "missing.json"}, "missing.json"),
        ({"extends": "chain.json"}, "no recipe that stands by itself"),
    ],
)
def test_what_cannot_be_extended_is_named(content: dict[str, str], said: str, tmp_path: Path) -> None:
    (tmp_path / "chain.json").write_text(json.dumps({"extends": "chain.json"}))
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"name": "own", **content}))
    with pytest.raises(RecipeError, match=said):
        load_recipe(path)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (None, "paper-qwen3-8b"),
        ("Qwen/Qwen3-8B", "paper-qwen3-8b"),
        ("meta-llama/Llama-3.2-1B-Instruct", "paper-llama-3.2-1b-instruct"),
        ("models/My Model/", "paper-my-model"),
    ],
)
def test_the_bundle_is_named_after_its_model(model: str | None, name: str) -> None:
    recipe = load_recipe(find_recipe(Path("paper")), model=model)
    assert (recipe.name, recipe.base_model) == (name, model or "Qwen/Qwen3-8B")
