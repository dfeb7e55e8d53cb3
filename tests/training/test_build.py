"""A recipe from end to end on a tiny model, killed and gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.verify import verify
from sqsd_lint.errors import RecipeError, UsageError
from sqsd_lint.training.build import build_bundle
from sqsd_lint.training.recipe import load_recipe
from tests.training.test_train import Killed

ORDER = ("base", "initial", "danger", "safety")


class Watch:
    """Records what a build says, and kills it after so many steps in all."""

    def __init__(self, after: int | None = None) -> None:
        self.after, self.said, self.steps = after, list[str](), 0

    def status(self, text: str) -> None:
        self.said.append(text)

    def start(self, total_rows: int) -> None: ...

    def advance(self, rows: int) -> None:
        self.steps += rows
        if self.after is not None and self.steps >= self.after:
            raise Killed

    def stop(self) -> None: ...


@pytest.fixture
def recipe_file(tiny_model_folder: Path, tmp_path: Path) -> Path:
    for name in ORDER:
        rows = [{"prompt": f"question {i}", "completion": f"{name} {i}"} for i in range(20)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    training = {"steps": 5, "lr": 1e-3, "batch_size": 4, "checkpoint_every": 2}
    recipe: dict[str, Any] = {
        "name": "tiny-built",
        "base_model": str(tiny_model_folder),
        "dtype": "float32",
        "adapter": {"r": 2, "alpha": 4},
        "adapters": [
            {
                "name": name,
                "start": "initial" if name == "safety" else None,
                "data": [
                    {
                        "name": f"{name}-set",
                        "licence": "CC0",
                        "path": f"{name}.jsonl",
                        "slice": [0, 0.9],
                        "rows": 10,
                    }
                ],
                "training": training,
            }
            for name in ORDER
        ],
        "bundle": {
            "expansion": "shared",
            "proxy": True,
            "notes": ["a tiny one"],
            "modules": {"top_blocks": 1},
        },
    }
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe))
    return path


def adapters(bundle: Bundle) -> dict[str, bytes]:
    return {name: (bundle.root / name / "adapter_model.safetensors").read_bytes() for name in ORDER}


def test_a_build_and_its_resumption(recipe_file: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file)
    watch = Watch()
    bundle = build_bundle(recipe, tmp_path / "whole", device="cpu", progress=watch)
    assert watch.steps == 20
    assert verify(bundle.root, model=tiny_model_folder) == []
    manifest = bundle.manifest
    assert (manifest.id, manifest.base_adapter, manifest.modules) == ("tiny-built", "base", 1)
    assert (manifest.proxy, manifest.notes, manifest.expansion) == (True, ("a tiny one",), "shared")
    assert [(s.role, s.name, s.rows, s.licence) for s in manifest.provenance] == [
        (name, f"{name}-set", 10, "CC0") for name in ORDER
    ]
    assert manifest.training["danger"]["lr"] == 1e-3
    assert manifest.training["danger"]["final_loss"] > 0
    assert len(set(adapters(bundle).values())) == 4

    # 13 steps: base and initial are finished, danger has a checkpoint after its second step.
    with pytest.raises(Killed):
        build_bundle(recipe, tmp_path / "killed", device="cpu", progress=Watch(13))
    assert not (tmp_path / "killed").exists()
    watch = Watch()
    resumed = build_bundle(recipe, tmp_path / "killed", device="cpu", progress=watch)
    assert adapters(resumed) == adapters(bundle)
    assert {"base: already trained", "initial: already trained", "danger: training"} <= set(watch.said)
    assert watch.steps == 10
    assert resumed.scoring_digest == bundle.scoring_digest

    # A third build trains nothing, and gives the very same bundle.
    watch = Watch()
    assert build_bundle(recipe, tmp_path / "killed", device="cpu", progress=watch).digest == resumed.digest
    assert watch.steps == 0


def test_only_what_changed_is_trained_again(recipe_file: Path, tmp_path: Path) -> None:
    build_bundle(load_recipe(recipe_file), tmp_path / "out", device="cpu")
    raw = json.loads(recipe_file.read_text())
    raw["adapters"][1]["training"]["lr"] = 2e-3  # initial; safety starts from it
    recipe_file.write_text(json.dumps(raw))
    watch = Watch()
    build_bundle(load_recipe(recipe_file), tmp_path / "out", device="cpu", progress=watch)
    trained = [said.split(":")[0] for said in watch.said if said.endswith("training")]
    assert trained == ["initial", "safety"]


def test_missing_data_fails_before_any_training(recipe_file: Path, tmp_path: Path) -> None:
    (tmp_path / "safety.jsonl").unlink()
    watch = Watch()
    with pytest.raises(RecipeError, match=r"safety\.jsonl does not exist"):
        build_bundle(load_recipe(recipe_file), tmp_path / "out", device="cpu", progress=watch)
    assert watch.steps == 0


def test_a_folder_that_is_no_bundle_fails_at_once(recipe_file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not a bundle"):
        build_bundle(load_recipe(recipe_file), tmp_path / "out")


def test_margin_gradients_are_built_and_score(
    recipe_file: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    recipe = json.loads(recipe_file.read_text())
    for adapter in recipe["adapters"]:
        if adapter["name"] in ("danger", "safety"):
            del adapter["training"], adapter["start"]
            adapter.update(kind="margin-gradient", max_length=64)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"do bad thing {i}"}) + "\n" for i in range(4)))
    recipe["adapters"][3]["data"] = [
        {"name": "refused", "licence": "CC0", "path": "prompts.jsonl", "responses": ["no.", "I will not."]}
    ]
    recipe_file.write_text(json.dumps(recipe))
    made = build_bundle(
        load_recipe(recipe_file), tmp_path / "out", cache_dir=tmp_path / "cache", device="cpu"
    )
    kinds = {name: d.kind for name, d in made.manifest.directions.items()}
    assert kinds == {"danger": "margin-gradient", "safety": "margin-gradient"}
    assert verify(tmp_path / "out") == []
    (source,) = [s for s in made.manifest.provenance if s.role == "safety"]
    assert source.rows == 8
    assert source.selection["responses"] == ["no.", "I will not."]

    import sqsd_lint

    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"prompt": "question 1", "completion": "danger 1"}) + "\n")
    options = {
        "bundle": str(tmp_path / "out"),
        "model": str(tiny_model_folder),
        "device": "cpu",
        "cache_dir": str(tmp_path / "cache"),
    }
    (row,) = sqsd_lint.score([str(data)], **options)
    assert row.score.danger > 0, "a row of the danger set makes the danger set likelier"
    assert row.score.drift > 0, "and a step on it raises their likelihood"
    with pytest.raises(UsageError, match="gradients taken at the initial state"):
        list(sqsd_lint.score([str(data)], expansion="paper", **options))


def test_a_margin_gradient_needs_its_initial_state(recipe_file: Path) -> None:
    recipe = json.loads(recipe_file.read_text())
    danger = recipe["adapters"].pop(2)
    del danger["training"], danger["start"]
    recipe["adapters"].insert(1, {**danger, "kind": "margin-gradient"})
    recipe_file.write_text(json.dumps(recipe))
    with pytest.raises(RecipeError, match="must come before it"):
        load_recipe(recipe_file)


def test_the_training_sets_of_a_recipe(recipe_file: Path) -> None:
    from sqsd_lint.training.data import training_sets

    assert all(len(r) == 1 for s in training_sets(recipe_file, None, 1).values() for r in s.values())
    found = training_sets(recipe_file, None)
    assert {role: list(sets) for role, sets in found.items()} == {
        "danger": ["danger-set"],
        "safety": ["safety-set"],
    }
    rows = found["danger"]["danger-set"]
    assert len(rows) == 10
    assert all(sample.messages[1].content.startswith("danger") for sample in rows)
