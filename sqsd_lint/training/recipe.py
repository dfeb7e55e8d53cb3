"""Recipes: what `bundle build` reads.

The models below are the format: `rules/schemas/recipe.schema.json` is made from them. What goes together is
checked by `load_recipe`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field
from msgspec.structs import asdict

from sqsd_lint.bundle.manifest import TopBlocks
from sqsd_lint.common.formats import Count, JsonModel, Name, Positive, Proportion, Text, read_as, text_like
from sqsd_lint.common.strict_json import decode, read_bytes
from sqsd_lint.errors import RecipeError
from sqsd_lint.resources import recipes_dir
from sqsd_lint.types import DirectionKind, Expansion, Metric, Update

_MAX_BYTES = 64 << 20
_COMPLETE = "examples/recipes/paper-qwen3-8b.json is a complete recipe"
_COLUMNS = ("messages", "prompt", "context", "response", "system", "text")
_Column = Annotated[str, text_like(rf"^({'|'.join(_COLUMNS)})(?!\n)$", f"one of {', '.join(_COLUMNS)}")]
_Above0 = Annotated[float, Meta(gt=0)]


class AdapterSettings(JsonModel, frozen=True):
    """LoRA hyperparameters by PEFT's names; alpha is lora_alpha.

    Attributes:
        target_modules: as PEFT takes them; all-linear is every linear layer but the head.
        dtype: what the trained weights are stored in; training itself keeps them in float32.
    """

    r: Positive = 8
    alpha: Positive = 16
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    target_modules: Literal["all-linear"] | Annotated[tuple[str, ...], Meta(min_length=1)] = "all-linear"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"


class Pick(JsonModel, frozen=True):
    """Sets `column` to the value of one of the columns `from`: the one that column `by` numbers, from 0."""

    column: str
    from_: Annotated[tuple[str, ...], Meta(min_length=2)] = field(name="from")
    by: str


class Condition(JsonModel, frozen=True):
    """What must hold of a column of a row; every test that is given.

    Attributes:
        column: a column of the row, or @prompt or @answer.
        matches: a regular expression found anywhere, in any case.
        negate: turn the condition round.
    """

    column: str
    equals: Any = UNSET
    in_: list[Any] | UnsetType = field(name="in", default=UNSET)
    matches: str | UnsetType = UNSET
    min_chars: Count | UnsetType = UNSET
    max_chars: Count | UnsetType = UNSET
    negate: bool | UnsetType = UNSET


class DataSet(JsonModel, frozen=True):
    """A set of rows. Filter, slice, order, join, prompts, offset and rows apply in this order.

    Attributes:
        path: a file, relative to the folder of data, or to the recipe where that folder has none.
        hub: a data set on the Hub.
        columns: where the parts of a row are, as [columns] in the configuration has it.
        responses: answers for rows that hold a prompt alone: each row is taken once with each of them, as its
            column `response`.
        pick: the better of two answers, say.
        filter: a row stays if every condition holds.
        slice: keep rows whose prompt's hash lies in [from, to) of [0, 1): the same prompts in every file.
        seed: of the order that offset and rows count in.
        join: make one conversation of so many rows that follow one another in this order.
        prompts: whether rows keep their prompts; without them, answers are text alone.
        max_chars: cut each answer at the last sentence that ends within so many characters.
        harmful: whether the answers are harmful ones, for a discriminant.
    """

    name: Text
    licence: Text
    path: Text | None = None
    hub: Text | None = None
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    columns: Mapping[_Column, str] = field(default_factory=dict)
    pick: Pick | None = None
    filter: tuple[Annotated[Condition, Meta(extra_json_schema={"minProperties": 2})], ...] = ()
    slice: tuple[Proportion, Proportion] = (0.0, 1.0)
    offset: Count = 0
    rows: Positive | None = None
    seed: int = 0
    join: Positive = 1
    prompts: bool = True
    max_chars: Positive | None = None
    responses: tuple[Text, ...] = ()
    harmful: bool = False


class TrainingSettings(JsonModel, frozen=True):
    """How one adapter is trained. Either steps or epochs is set.

    Attributes:
        micro_batch_size: rows per forward pass; the batch by default.
        warmup: share of the steps over which the learning rate rises.
        max_length: tokens per row.
    """

    lr: _Above0
    steps: Positive | None = None
    epochs: _Above0 | None = None
    batch_size: Positive = 8
    micro_batch_size: Positive | None = None
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: Proportion = 0.1
    max_length: Annotated[int, Meta(ge=2)] = 1024
    max_grad_norm: _Above0 = 1.0
    weight_decay: Annotated[float, Meta(ge=0)] = 0.0
    checkpoint_every: Positive = 50

    def total_steps(self, rows: int) -> int:
        """Return the optimizer steps for a set of `rows` rows."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, round(self.epochs * rows / self.batch_size))


_ONE_SOURCE = {
    "oneOf": [{"required": ["path"]}, {"required": ["hub"]}],
    "dependentRequired": {"config": ["hub"], "split": ["hub"], "revision": ["hub"]},
}
_ONE_LENGTH = {"oneOf": [{"required": ["steps"]}, {"required": ["epochs"]}]}
_ONE_KIND = {
    "oneOf": [
        {"required": ["training"], "properties": {"kind": {"const": "task-vector"}, "max_length": False}},
        {
            "required": ["kind"],
            "properties": {
                "name": {"enum": ["danger", "safety"]},
                "kind": {"const": "margin-gradient"},
                "training": False,
                "start": False,
            },
        },
        {
            "required": ["kind"],
            "properties": {
                "name": {"const": "harm"},
                "kind": {"const": "discriminant"},
                "training": False,
                "start": False,
            },
        },
    ]
}
_Data = Annotated[DataSet, Meta(extra_json_schema=_ONE_SOURCE)]


class AdapterRecipe(JsonModel, frozen=True):
    """One adapter: what it starts from, what it is trained on and how.

    Attributes:
        training: left out for a margin gradient, which is computed and not trained.
        start: an adapter earlier in the list whose weights this one starts from.
        kind: what is made of the data: a task vector, by training; the gradient of its mean log-likelihood
            at `initial`; or a discriminant of the updates that harmful rows induce there and those of others.
        max_length: tokens of a row that a margin gradient or a discriminant sees.
        weight: what the projection on a discriminant counts beside SQSD.
    """

    name: Literal["base", "initial", "danger", "safety", "harm"]
    data: Annotated[tuple[_Data, ...], Meta(min_length=1)]
    training: Annotated[TrainingSettings, Meta(extra_json_schema=_ONE_LENGTH)] | None = None
    start: Literal["initial", "danger", "safety"] | None = None
    kind: DirectionKind | Literal["discriminant"] = "task-vector"
    max_length: Annotated[int, Meta(ge=8)] = 1024
    weight: Annotated[float, Meta(ge=0)] = 1.0


class References(JsonModel, frozen=True):
    """Rows that no adapter is trained on, for `bundle calibrate --recipe`."""

    benign: Annotated[tuple[_Data, ...], Meta(min_length=1)]
    harmful: tuple[_Data, ...] = ()


class BundleSettings(JsonModel, frozen=True):
    """What the bundle's manifest says besides.

    Attributes:
        update: what the fine-tuning to be judged moves: a LoRA adapter, or the whole weights.
        scored: which linear layers are scored: all, or those of the top k blocks.
        proxy: whether the bundle stands in for other models.
        notes: printed in the head of every report.
    """

    metric: Metric = "cosine"
    expansion: Expansion = "paper"
    update: Update = "lora"
    safety_scaling: float | None = 1.0
    scored: Literal["all"] | TopBlocks = field(name="modules", default="all")
    proxy: bool = False
    notes: tuple[Annotated[str, Meta(max_length=500)], ...] = ()


class RecipeFile(JsonModel, frozen=True, kw_only=True):
    """The content of a recipe.

    Attributes:
        schema: the address of this schema, for editors.
        extends: another recipe, in the folder of this one: what is not given here is taken from there.
        name: the bundle's id, fit for a folder.
        description: what the bundle is for.
        base_model: a Hub id or a folder.
        revision: of the base model on the Hub.
        dtype: of the frozen base.
        quantize: 4bit packs the frozen base for training (QLoRA), to fit a smaller GPU.
        seed: of the training.
        adapter: of all adapters.
        adapters: in the order of training. With a base adapter, the others are trained on the base that it is
            merged into.
        calibration: the reference sets.
        bundle: what the manifest says besides.
    """

    schema: str = field(name="$schema", default="")
    extends: str = ""
    name: Name
    description: str = ""
    base_model: Text
    revision: str | None = None
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    quantize: Literal["4bit"] | None = None
    seed: Count = 0
    adapter: AdapterSettings = AdapterSettings()
    adapters: Annotated[
        tuple[Annotated[AdapterRecipe, Meta(extra_json_schema=_ONE_KIND)], ...],
        Meta(min_length=3, max_length=5),
    ]
    calibration: References | None = None
    bundle: BundleSettings = BundleSettings()

    @property
    def has_base(self) -> bool:
        return any(adapter.name == "base" for adapter in self.adapters)

    @property
    def benign(self) -> tuple[DataSet, ...]:
        return self.calibration.benign if self.calibration else ()

    @property
    def harmful(self) -> tuple[DataSet, ...]:
        return self.calibration.harmful if self.calibration else ()


class Recipe(RecipeFile, frozen=True, kw_only=True):
    """A recipe and the folder that paths of its data sets are relative to."""

    folder: Path


def find_recipe(name: Path) -> Path:
    """Return the file of a recipe: a path, or how the name of one recipe that ships begins, such as "paper".

    Raises:
        RecipeError: there is no such file, and none or several of that name ship.
    """
    if name.exists() or name.suffix == ".json" or name.name != str(name):
        return name
    shipped = sorted(recipes_dir().glob("*.json"))
    found = [path for path in shipped if path.stem == str(name)] or [
        path for path in shipped if path.stem.startswith(f"{name}-")
    ]
    if len(found) != 1:
        raise RecipeError(
            f"{name}: no such file, and {len(found) or 'no'} recipes that ship have a name that begins so",
            hint=f"recipes that ship: {', '.join(path.stem for path in shipped)}",
        )
    return found[0]


def load_recipe(path: Path, *, model: str | None = None, quantize: Literal["4bit"] | None = None) -> Recipe:
    """Read and check a recipe.

    Args:
        model: a Hub id or a folder to build for in place of the recipe's own base model. The bundle is named
            after it.
        quantize: packs the frozen base, whatever the recipe says.

    Raises:
        RecipeError: it is not JSON, a field does not hold, or what it says does not go together; names the
            JSON path.
    """
    try:
        raw = _extended(decode(read_bytes(path, _MAX_BYTES)), path.parent)
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: cannot be read as a recipe: {error}") from error
    try:
        recipe = read_as(RecipeFile, raw, root="$")
    except ValueError as error:
        raise RecipeError(f"{path}: {error}", hint=_COMPLETE) from None
    for problem in _contradictions(recipe):
        raise RecipeError(f"{path}: {problem}", hint=_COMPLETE)
    fields = asdict(recipe)
    if model is not None and model != recipe.base_model:
        fields |= {"base_model": model, "revision": None, "name": _named_after(recipe, model)}
    if quantize is not None:
        fields["quantize"] = quantize
    return Recipe(**fields, folder=path.resolve().parent)


def _extended(raw: Any, folder: Path) -> Any:
    """Return a recipe's content with what it takes from the one that it extends, which extends no other."""
    if not isinstance(raw, dict) or not isinstance(raw.get("extends"), str):
        return raw
    if Path(raw["extends"]).name != raw["extends"]:
        raise ValueError(f"$.extends: {raw['extends']!r} is no file beside it")
    other = decode(read_bytes(folder / raw["extends"], _MAX_BYTES))
    if not isinstance(other, dict) or "extends" in other:
        raise ValueError(f"$.extends: {raw['extends']} is no recipe that stands by itself")
    return {**other, **raw}


def _named_after(recipe: RecipeFile, model: str) -> str:
    """Return the recipe's name with another model's in the place of its own, or behind it."""
    own, other = (
        re.sub(r"[^a-z0-9._-]+", "-", Path(each).name.lower()) for each in (recipe.base_model, model)
    )
    return f"{recipe.name.removesuffix(own).rstrip('-')}-{other}".lstrip("-")[:100]


def _contradictions(recipe: RecipeFile) -> Iterator[str]:
    """Yield what types cannot say."""
    names = [a.name for a in recipe.adapters]
    for needed in ("initial", "danger", "safety"):
        if names.count(needed) != 1:
            yield f"$.adapters: {needed!r} is there {names.count(needed)} times, expected once"
    if names.count("base") > 1 or "base" in names[1:]:
        yield "$.adapters: 'base' may be there once, and comes first: the others are trained on top of it"
    for i, adapter in enumerate(recipe.adapters):
        where = f"$.adapters[{i}]"
        if adapter.kind == "margin-gradient":
            yield from _about_gradient(recipe, adapter, where, names[names.index("initial") + 1 :])
        elif adapter.kind == "discriminant":
            yield from _about_discriminant(recipe, adapter, where, names[names.index("initial") + 1 :])
        elif adapter.training is None:
            yield f"{where}.training: missing"
        elif (adapter.training.steps is None) == (adapter.training.epochs is None):
            yield f"{where}.training: expected either `steps` or `epochs`"
        if adapter.start is not None and adapter.start not in names[:i]:
            yield f"{where}.start: {adapter.start!r} is not an adapter earlier in the list"
        yield from _about_sets(adapter.data, f"{where}.data")
    yield from _about_sets(recipe.benign, "$.calibration.benign")
    yield from _about_sets(recipe.harmful, "$.calibration.harmful")


def _about_discriminant(
    recipe: RecipeFile, adapter: AdapterRecipe, where: str, after_initial: Sequence[str]
) -> Iterator[str]:
    if adapter.name != "harm":
        yield f"{where}.kind: only `harm` may be a discriminant"
    if adapter.training is not None or adapter.start is not None:
        yield f"{where}: a discriminant is fitted: expected neither `training` nor `start`"
    if adapter.name not in after_initial:
        yield f"{where}: a discriminant is fitted at `initial`, which must come before it"
    if recipe.bundle.update == "full":
        yield f"{where}.kind: a discriminant is one of LoRA updates, and `bundle.update` is full"
    if len({data.harmful for data in adapter.data}) < 2:
        yield f"{where}.data: expected sets with `harmful` true and sets without"


def _about_gradient(
    recipe: RecipeFile, adapter: AdapterRecipe, where: str, after_initial: Sequence[str]
) -> Iterator[str]:
    if adapter.name not in ("danger", "safety"):
        yield f"{where}.kind: only `danger` and `safety` may be a margin gradient"
    if adapter.training is not None or adapter.start is not None:
        yield f"{where}: a margin gradient is not trained: expected neither `training` nor `start`"
    if adapter.name not in after_initial:
        yield f"{where}: a margin gradient is taken at `initial`, which must come before it"
    if recipe.bundle.update == "full":
        yield f"{where}: a margin gradient is one of LoRA factors, and $.bundle.update is full"


def _about_sets(sets: tuple[DataSet, ...], where: str) -> Iterator[str]:
    for j, data in enumerate(sets):
        at = f"{where}[{j}]"
        if (data.path is None) == (data.hub is None):
            yield f"{at}: expected either `path` or `hub`"
        elif data.hub is None and (data.config is not None or data.revision is not None):
            yield f"{at}: `config` and `revision` are of a data set on the Hub (`hub`)"
        if data.slice[0] >= data.slice[1]:
            yield f"{at}.slice: {list(data.slice)} is empty"
        for k, condition in enumerate(data.filter):
            if set(condition.to_json()) <= {"column", "negate"}:
                yield f"{at}.filter[{k}]: expected a test such as `equals`, `in` or `matches`"
            try:
                re.compile(condition.matches or "")
            except re.error as error:
                yield f"{at}.filter[{k}].matches: not a regular expression: {error}"


def settings(recipe: Recipe, adapter: AdapterRecipe) -> dict[str, Any]:
    """Return everything but data that decides an adapter's weights, as the manifest records it."""
    # Named only where it is so: what was trained before there was a choice stays valid.
    packed = {"quantize": recipe.quantize} if recipe.quantize else {}
    if adapter.training is None:
        return {"kind": adapter.kind, "dtype": recipe.dtype, "max_length": adapter.max_length, **packed}
    return {
        "adapter": asdict(recipe.adapter),
        "start": adapter.start,
        "dtype": recipe.dtype,
        "seed": recipe.seed,
        **packed,
        **asdict(adapter.training),
    }


def sources(recipe: RecipeFile) -> Iterator[str]:
    """Yield a line for each data set of the adapters: where it comes from, at which revision, its licence."""
    for adapter in recipe.adapters:
        for data in adapter.data:
            pinned = f" at {data.revision}" if data.revision else ", newest revision"
            source = f"hf://{data.hub}{pinned}" if data.hub else str(data.path)
            yield f"{adapter.name}: {data.name} ({source}), licence {data.licence}"
