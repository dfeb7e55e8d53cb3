"""Recipes: what `bundle build` reads. The published schema checks the form, this module the sense."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqsd_lint.common.json_io import read_json
from sqsd_lint.common.schema import schema_problems
from sqsd_lint.errors import RecipeError
from sqsd_lint.types import DirectionKind, Expansion, Metric, Update


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """LoRA hyperparameters by PEFT's names (alpha is lora_alpha); `dtype` is what weights are stored in."""

    r: int = 8
    alpha: int = 16
    dropout: float = 0.0
    target_modules: str | tuple[str, ...] = "all-linear"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"


@dataclass(frozen=True, slots=True)
class Pick:
    """`column` becomes row[from_[row[by]]]: the better of two answers, say."""

    column: str
    from_: tuple[str, ...]
    by: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """A set of training rows; see recipe.schema.json for each field."""

    name: str
    licence: str
    path: str | None = None
    hub: str | None = None
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    pick: Pick | None = None
    filter: tuple[Mapping[str, Any], ...] = ()
    slice: tuple[float, float] = (0.0, 1.0)
    offset: int = 0
    rows: int | None = None
    seed: int = 0
    max_chars: int | None = None
    responses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Training:
    """How one adapter is trained; see recipe.schema.json for each field. Either steps or epochs is set."""

    lr: float
    steps: int | None = None
    epochs: float | None = None
    batch_size: int = 8
    micro_batch_size: int | None = None
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = 0.1
    max_length: int = 1024
    max_grad_norm: float = 1.0
    weight_decay: float = 0.0
    checkpoint_every: int = 50

    def total_steps(self, rows: int) -> int:
        """Optimizer steps for a set of `rows` rows."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, round(self.epochs * rows / self.batch_size))


@dataclass(frozen=True, slots=True)
class AdapterRecipe:
    """One adapter: what it starts from, what it is trained on and how.

    Attributes:
        training: None for a margin gradient, which is computed and not trained; it sees `max_length` tokens.
    """

    name: str
    data: tuple[DataSet, ...]
    training: Training | None
    start: str | None = None
    kind: DirectionKind = "task-vector"
    max_length: int = 1024


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole recipe.

    Attributes:
        folder: what paths of data sets are relative to.
        modules: "all", or the number of top blocks.
        benign, harmful: the calibration's reference sets, on which no adapter is trained.
    """

    name: str
    base_model: str
    adapters: tuple[AdapterRecipe, ...]
    folder: Path
    revision: str | None = None
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    seed: int = 0
    adapter: AdapterSettings = AdapterSettings()
    metric: Metric = "cosine"
    expansion: Expansion = "paper"
    update: Update = "lora"
    safety_scaling: float | None = 1.0
    modules: Literal["all"] | int = "all"
    proxy: bool = False
    notes: tuple[str, ...] = ()
    benign: tuple[DataSet, ...] = ()
    harmful: tuple[DataSet, ...] = ()

    @property
    def has_base(self) -> bool:
        return any(a.name == "base" for a in self.adapters)


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: it is not JSON, breaks the schema, or makes no sense; names the JSON path.
    """
    try:
        raw = read_json(path)
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: cannot be read as a recipe: {error}") from error
    if problems := schema_problems(raw, "recipe"):
        raise RecipeError(
            f"{path}: {problems[0]}", hint="examples/recipes/paper-qwen3-8b.json is a complete recipe"
        )
    recipe = _recipe(raw, path.resolve().parent)
    if problem := _nonsense(recipe):
        raise RecipeError(f"{path}: {problem}")
    return recipe


def _recipe(raw: Mapping[str, Any], folder: Path) -> Recipe:
    bundle, references = dict(raw.get("bundle", {})), raw.get("calibration", {})
    modules = bundle.pop("modules", "all")
    adapter = dict(raw.get("adapter", {}))
    if isinstance(adapter.get("target_modules"), list):
        adapter["target_modules"] = tuple(adapter["target_modules"])
    top = {key: raw[key] for key in ("name", "base_model", "revision", "dtype", "seed") if key in raw}
    return Recipe(
        **top,
        **{**bundle, "notes": tuple(bundle.get("notes", ()))},
        modules=modules if modules == "all" else modules["top_blocks"],
        adapter=AdapterSettings(**adapter),
        adapters=tuple(_adapter(a) for a in raw["adapters"]),
        folder=folder,
        benign=tuple(map(_data_set, references.get("benign", ()))),
        harmful=tuple(map(_data_set, references.get("harmful", ()))),
    )


def _adapter(raw: Mapping[str, Any]) -> AdapterRecipe:
    data = tuple(_data_set(d) for d in raw["data"])
    given = {key: raw[key] for key in ("start", "kind", "max_length") if key in raw}
    training = Training(**raw["training"]) if "training" in raw else None
    return AdapterRecipe(raw["name"], data, training, **given)


def _data_set(raw: Mapping[str, Any]) -> DataSet:
    values = dict(raw)
    if pick := values.pop("pick", None):
        values["pick"] = Pick(pick["column"], tuple(pick["from"]), pick["by"])
    values["filter"] = tuple(values.get("filter", ()))
    values["responses"] = tuple(values.get("responses", ()))
    low, high = values.get("slice", (0.0, 1.0))
    return DataSet(**{**values, "slice": (low, high)})


def _nonsense(recipe: Recipe) -> str | None:
    """What a schema cannot say."""
    names = [a.name for a in recipe.adapters]
    for needed in ("initial", "danger", "safety"):
        if names.count(needed) != 1:
            return f"$.adapters: {needed!r} is there {names.count(needed)} times, expected once"
    if names.count("base") > 1 or "base" in names[1:]:
        return "$.adapters: 'base' may be there once, and comes first: the others are trained on top of it"
    for i, adapter in enumerate(recipe.adapters):
        if adapter.kind == "margin-gradient" and adapter.name not in names[names.index("initial") + 1 :]:
            return f"$.adapters[{i}]: a margin gradient is taken at `initial`, which must come before it"
        if adapter.kind == "margin-gradient" and recipe.update == "full":
            return f"$.adapters[{i}]: a margin gradient is one of LoRA factors, and $.bundle.update is full"
        if adapter.start is not None and adapter.start not in names[:i]:
            return f"$.adapters[{i}].start: {adapter.start!r} is not an adapter earlier in the list"
        for j, data in enumerate(adapter.data):
            where = f"$.adapters[{i}].data[{j}]"
            if data.slice[0] >= data.slice[1]:
                return f"{where}.slice: {list(data.slice)} is empty"
            for k, condition in enumerate(data.filter):
                try:
                    re.compile(condition.get("matches", ""))
                except re.error as error:
                    return f"{where}.filter[{k}].matches: not a regular expression: {error}"
    return None


def settings(recipe: Recipe, adapter: AdapterRecipe) -> dict[str, Any]:
    """Everything but data that decides an adapter's weights, as the manifest records it."""
    if adapter.training is None:
        return {"kind": adapter.kind, "dtype": recipe.dtype, "max_length": adapter.max_length}
    return {
        "adapter": asdict(recipe.adapter),
        "start": adapter.start,
        "dtype": recipe.dtype,
        "seed": recipe.seed,
        **asdict(adapter.training),
    }
