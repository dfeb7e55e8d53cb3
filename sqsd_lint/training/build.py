"""`bundle build`: a recipe in, a bundle out. What is finished is never trained again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqsd_lint._version import __version__
from sqsd_lint.adapters.peft_folder import inspect_adapter
from sqsd_lint.bundle.base_model import describe_model, resolve_model
from sqsd_lint.bundle.cache import staging, swap_in
from sqsd_lint.bundle.importer import directions_for
from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.manifest import HARM, BaseModel, DirectionSpec, Manifest, Purpose
from sqsd_lint.bundle.reach import with_reach
from sqsd_lint.bundle.write import check_output, write_bundle
from sqsd_lint.common.extras import require
from sqsd_lint.common.json_io import digest, read_json, write_json
from sqsd_lint.common.progress import Progress
from sqsd_lint.errors import SqsdLintError
from sqsd_lint.training.data import Selected, select
from sqsd_lint.training.recipe import AdapterRecipe, Recipe, settings
from sqsd_lint.types import Sample

if TYPE_CHECKING:
    from sqsd_lint.training.checkpoint import Checkpoints

_FINISHED = "finished.json"


def build_bundle(
    recipe: Recipe,
    output: Path,
    *,
    work_dir: Path | None = None,
    data_dir: Path | None = None,
    cache_dir: Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Bundle:
    """Train a recipe's adapters and write the bundle.

    Args:
        output: the bundle's folder; a bundle that stands there is replaced at the end.
        work_dir: finished adapters and checkpoints, so that a killed build goes on where it stopped;
            `<output>.build` by default. May be deleted once the bundle stands.
        data_dir: what paths of data sets are relative to, before the recipe's folder.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        RecipeError: a data set cannot be read or used.
        UsageError: the output folder is not a bundle, or the device is not there.
        ModelNotFoundError: there is no such base model.
        MissingExtraError: the base is to be packed, and bitsandbytes is not installed.
    """
    check_output(output)
    if recipe.quantize:
        require("bitsandbytes")  # before data is fetched
    run = _Build(recipe, work_dir or output.with_name(output.name + ".build"), device, progress, cache_dir)
    return run.build(output, data_dir or recipe.folder, recipe.folder)


class _Build:
    """One build: the recipe, the place for its parts, and the base model as it was last loaded."""

    def __init__(
        self, recipe: Recipe, work: Path, device: str, progress: Progress | None, cache_dir: Path | None
    ) -> None:
        self._recipe = recipe
        self._work = work
        self._device = device
        self._progress = progress
        self._cache_dir = cache_dir
        self._keys: dict[str, str] = {}
        self._loaded: tuple[tuple[bool, bool], Any] | None = None

    def build(self, output: Path, *data_dirs: Path) -> Bundle:
        recipe = self._recipe
        self._model_folder = resolve_model(
            recipe.base_model, revision=recipe.revision, cache_dir=self._cache_dir, status=self._status
        )
        base = describe_model(
            recipe.base_model, self._model_folder, revision=recipe.revision, cache_dir=self._cache_dir
        )
        # All data first: a recipe that asks for rows that are not there fails before hours of training.
        chosen = {}
        for adapter in recipe.adapters:
            self._status(f"{adapter.name}: reading data")
            chosen[adapter.name] = [select(data, adapter.name, *data_dirs) for data in adapter.data]
        training: dict[str, dict[str, Any]] = {}
        for adapter in recipe.adapters:
            loss = self._adapter(adapter, chosen[adapter.name], base)
            training[adapter.name] = {**settings(recipe, adapter), "final_loss": loss}
        if self._progress:
            self._progress.stop()
        manifest = Manifest(
            id=recipe.name,
            tool_version=__version__,
            base_model=base,
            directions=self._directions(),
            expansion=recipe.bundle.expansion,
            metric=recipe.bundle.metric,
            scored=recipe.bundle.scored,
            base_adapter="base" if recipe.has_base else None,
            target=Purpose(recipe.bundle.proxy, recipe.bundle.notes),
            provenance=tuple(part.source for parts in chosen.values() for part in parts),
            training=training,
            calibration=None,
            files={},
            update=recipe.bundle.update,
        )
        folders: dict[str, Path] = {name: self._work / name for name in chosen}
        return write_bundle(output, with_reach(manifest, folders), folders)

    def _directions(self) -> dict[str, DirectionSpec]:
        found = directions_for(self._recipe.bundle.safety_scaling)
        for adapter in self._recipe.adapters:
            if adapter.kind == "margin-gradient" and (adapter.name == "danger" or adapter.name == "safety"):
                found[adapter.name] = DirectionSpec(adapter.name, "initial", None, adapter.kind)
            if adapter.kind == "discriminant" and adapter.name == HARM:
                found[HARM] = DirectionSpec(HARM, "initial", None, weight=adapter.weight)
        return found

    def _adapter(self, adapter: AdapterRecipe, parts: list[Selected], base: BaseModel) -> float | None:
        """Train one adapter unless the very same one is finished; returns its final loss."""
        key = self._key(adapter, parts, base)
        target = self._work / adapter.name
        self._keys[adapter.name] = key
        if (loss := _finished(target, key)) is not None:
            self._status(f"{adapter.name}: already trained")
            return loss[0]
        model, tokenizer = self._load(
            merged=self._recipe.has_base and adapter.name != "base",
            # Training over packed weights changes the model around them (`train.prepared`).
            trains=bool(self._recipe.quantize) and adapter.kind == "task-vector",
        )
        make = {"discriminant": self._fit, "margin-gradient": self._take_gradient, "task-vector": self._train}
        with staging(target) as stage:
            final = make[adapter.kind](adapter, parts, model, tokenizer, stage)
            rounded = None if final != final else float(f"{final:.4g}")
            write_json(stage / _FINISHED, {"key": key, "final_loss": rounded})
            swap_in(stage, target)
        self._checkpoints(adapter).clear()
        return rounded

    def _train(
        self, adapter: AdapterRecipe, parts: list[Selected], model: Any, tokenizer: Any, stage: Path
    ) -> float:
        """Train one adapter; returns its final loss."""
        from sqsd_lint.training.train import train_adapter

        assert adapter.training is not None
        self._status(f"{adapter.name}: training")
        return train_adapter(
            model,
            tokenizer,
            _samples(parts),
            self._recipe.adapter,
            adapter.training,
            seed=self._recipe.seed,
            checkpoints=self._checkpoints(adapter),
            output=stage,
            start=self._work / adapter.start if adapter.start else None,
            progress=self._progress,
        )

    def _take_gradient(
        self, adapter: AdapterRecipe, parts: list[Selected], model: Any, tokenizer: Any, stage: Path
    ) -> float:
        """Compute one margin gradient at the initial state; returns the mean loss that it ascends from."""
        from sqsd_lint.training.train import gradient_adapter

        self._status(f"{adapter.name}: taking the gradient")
        return gradient_adapter(
            model,
            tokenizer,
            _samples(parts),
            initial=self._work / "initial",
            max_length=adapter.max_length,
            dtype=self._recipe.adapter.dtype,
            output=stage,
        )

    def _fit(
        self, adapter: AdapterRecipe, parts: list[Selected], model: Any, tokenizer: Any, stage: Path
    ) -> float:
        """Fit a discriminant at the initial state; returns the error of the fit."""
        from sqsd_lint.training.discriminant import LabelledSet, discriminant_adapter

        self._status(f"{adapter.name}: fitting")
        sets = zip(parts, adapter.data, strict=True)
        return discriminant_adapter(
            model,
            tokenizer,
            [LabelledSet(part.samples, data.harmful) for part, data in sets],
            initial=self._work / "initial",
            max_length=adapter.max_length,
            dtype=self._recipe.adapter.dtype,
            output=stage,
        )

    def _checkpoints(self, adapter: AdapterRecipe) -> Checkpoints:
        from sqsd_lint.training.checkpoint import Checkpoints

        return Checkpoints(self._work / f"{adapter.name}.checkpoints", self._keys[adapter.name])

    def _key(self, adapter: AdapterRecipe, parts: list[Selected], base: BaseModel) -> str:
        """Identity of a trained adapter: settings, rows, and what it stands on."""
        start = "initial" if adapter.kind in ("margin-gradient", "discriminant") else adapter.start or ""
        stands_on = [self._keys.get(name) for name in ("base", start)]
        model = [base.weights_digest, base.tokenizer_digest, base.template_digest]
        rows = [part.source.sha256 for part in parts]
        cuts = [
            [part.source.selection[k] for k in ("max_chars", "harmful") if k in part.source.selection]
            if adapter.kind == "discriminant"
            else part.source.selection["max_chars"]
            for part in parts
        ]
        return digest([settings(self._recipe, adapter), rows, cuts, model, stands_on])

    def _load(self, *, merged: bool, trains: bool) -> tuple[Any, Any]:
        """Return the frozen base, its base adapter merged or not, and its tokenizer; kept for the next."""
        if self._loaded is None or self._loaded[0] != (merged, trains):
            from sqsd_lint.adapters.factors import load_adapter
            from sqsd_lint.encode import load_tokenizer
            from sqsd_lint.scoring.cpu import EMULATED
            from sqsd_lint.scoring.model import dtype_name, load_model, pick_device, pick_dtype

            self._loaded = None
            device = pick_device(self._device)
            dtype = pick_dtype(self._recipe.dtype, device)
            emulated = f" ({EMULATED})" if dtype_name(dtype) != self._recipe.dtype else ""
            self._status(f"loading model{emulated}")
            adapter = load_adapter(self._work / "base") if merged else None
            model = load_model(
                self._model_folder,
                device=device,
                dtype=dtype,
                base_adapter=adapter,
                quantize=self._recipe.quantize,
            )
            if trains:
                from sqsd_lint.training.train import prepared

                model = prepared(model)
            self._loaded = (merged, trains), (model, load_tokenizer(self._model_folder))
        pair: tuple[Any, Any] = self._loaded[1]
        return pair

    def _status(self, text: str) -> None:
        if self._progress:
            self._progress.status(text)


def _samples(parts: list[Selected]) -> list[Sample]:
    return [sample for part in parts for sample in part.samples]


def _finished(folder: Path, key: str) -> tuple[float | None] | None:
    """Return a finished adapter's final loss, in a tuple since it may be unknown; None if it is not there."""
    try:
        marker = read_json(folder / _FINISHED)
        inspect_adapter(folder)
    except (OSError, ValueError, SqsdLintError):
        return None
    if not isinstance(marker, dict) or marker.get("key") != key:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return (marker.get("final_loss"),)
