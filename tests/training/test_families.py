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

# Qwen3, Llama-3 (the 1B model of the family has tied embeddings), Gemma-3 and Mistral.
FAMILIES = ("qwen3", "llama", "gemma3", "mistral")


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


@pytest.mark.parametrize("family", FAMILIES)
def test_the_paper_s_recipe_builds_a_bundle_that_scores(
    family: str, tiny_folder: Callable[[str, str], Path], tmp_path: Path
) -> None:
    model = tiny_folder(family, "chatml")
    recipe = load_recipe(find_recipe(Path("paper")), model=str(model))
    bundle = build_bundle(in_small(recipe, tmp_path), tmp_path / "bundle", device="cpu")
    assert verify(bundle.root, model=model) == []
    assert bundle.manifest.id == f"paper-{model.name}"
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
