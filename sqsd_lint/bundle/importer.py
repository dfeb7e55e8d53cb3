"""Make a bundle of what somebody fine-tuned: LoRA adapters of PEFT of any kind, or whole models.

A bundle keeps plain LoRA adapters, which PEFT loads: those of other kinds are converted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from sqsd_lint._version import __version__
from sqsd_lint.adapters.peft_folder import (
    CONFIG,
    WEIGHTS,
    check_fits,
    check_start,
    inspect_adapter,
    source_of,
)
from sqsd_lint.adapters.registry import AdapterSource, ConversionContext, Converted, Use, kind_of, whole_model
from sqsd_lint.bundle.base_model import describe_model, resolve_model
from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.manifest import (
    EXPANSIONS,
    METRICS,
    UPDATES,
    DirectionSpec,
    Manifest,
    Purpose,
    scored_modules,
)
from sqsd_lint.bundle.reach import with_reach
from sqsd_lint.bundle.write import check_output, write_bundle
from sqsd_lint.common.formats import Name, is_a
from sqsd_lint.common.json_io import write_json
from sqsd_lint.common.progress import Status
from sqsd_lint.errors import UsageError
from sqsd_lint.types import Expansion, Metric, Update

_USES: Mapping[str, tuple[Use, ...]] = {
    "base": ("a base adapter",),
    "initial": ("an expansion point",),
    "danger": ("a direction",),
    "safety": ("a direction", "an expansion point"),
}
_FULL_NOTE = "update: a training step is taken to move the whole weights, as full fine-tuning does"


def import_bundle(
    model: str,
    danger: Path,
    safety: Path,
    initial: Path | None = None,
    base: Path | None = None,
    *,
    output: Path,
    safety_scaling: float | None = 1.0,
    metric: Metric = "cosine",
    expansion: Expansion = "paper",
    modules: Literal["all"] | int = "all",
    update: Update | None = None,
    checkpoints: Collection[str] = (),
    rank: int | None = None,
    start: Path | None = None,
    facts: Mapping[str, Mapping[str, Any]] | None = None,
    revision: str | None = None,
    name: str | None = None,
    proxy: bool = False,
    notes: tuple[str, ...] = (),
    template_arguments: Mapping[str, Any] | None = None,
    cache_dir: Path | None = None,
    status: Status | None = None,
) -> Bundle:
    """Make a bundle from PEFT folders, by names and shapes in their headers, or from whole models.

    Args:
        model: the base model, a folder or a Hub id.
        initial: where danger is expanded; only a full update can do without one, at the model as it is.
        base: an adapter that is merged into the model first, if the others were trained on top of it.
        safety_scaling: scaling at the safety expansion point; None keeps the adapter's own. It plays no
            part with expansion "shared".
        modules: "all" linear layers, or the number of top blocks to score.
        update: what the fine-tuning to be judged moves; None is "full" with whole models, else "lora".
        checkpoints: which of "danger", "safety" and "initial" are folders of whole models and no adapters.
        rank: singular values that are kept of a whole model's displacement.
        start: what adapters with a start of their own (PiSSA, OLoRA) were before training.
        facts: what else the manifest shall say of an adapter's origin, by its name.
        revision: of the base model, where it is a Hub id.
        name: the bundle's id; the output folder's name by default.
        template_arguments: what else the chat template is called with.

    Raises:
        AdapterError: an adapter is a variant of LoRA that cannot be scored, or does not fit the model.
        ModelError: a whole model does not fit the base model, or is no other than it.
        ModelNotFoundError: there is no such model.
        UsageError: the output folder is not a bundle; the name is not fit for a folder; an unknown setting.
    """
    name = name or output.resolve().name
    update = update or ("full" if checkpoints else "lora")
    _check_settings(name, metric, expansion, update, initial, base, checkpoints)
    check_output(output)
    folder = resolve_model(model, revision=revision, cache_dir=cache_dir, status=status)
    sources: dict[str, Path | None] = {"base": base, "initial": initial, "danger": danger, "safety": safety}
    with TemporaryDirectory(prefix="sqsd-lint-") as scratch:
        taken = {
            role: _bundle_adapter(role, path, folder, Path(scratch), role in checkpoints, rank, start, status)
            for role, path in sources.items()
            if path is not None
        }
        manifest = Manifest(
            id=name,
            tool_version=__version__,
            base_model=describe_model(model, folder, revision=revision, cache_dir=cache_dir),
            directions=directions_for(safety_scaling, initial="initial" if initial else None),
            expansion=expansion,
            metric=metric,
            scored=scored_modules(modules),
            base_adapter="base" if base is not None else None,
            target=Purpose(
                proxy,
                (
                    *notes,
                    *((_FULL_NOTE,) if update == "full" else ()),
                    *(f"{role}: {note}" for role, one in taken.items() for note in one.notes),
                ),
            ),
            provenance=(),
            training={role: {**one.facts, **(facts or {}).get(role, {})} for role, one in taken.items()},
            calibration=None,
            files={},
            update=update,
            template_arguments=dict(template_arguments or {}),
        )
        folders = {role: one.folder for role, one in taken.items()}
        return write_bundle(output, with_reach(manifest, folders), folders)


def directions_for(
    safety_scaling: float | None, *, initial: Literal["initial"] | None = "initial"
) -> dict[str, DirectionSpec]:
    """Return adapter, expansion point and scaling per direction as in the paper, which `shared` overrides."""
    return {
        "danger": DirectionSpec("danger", initial, None),
        "safety": DirectionSpec("safety", "safety", safety_scaling),
    }


@dataclass(frozen=True, slots=True)
class _BundleAdapter:
    """An adapter as the bundle takes it, what the manifest says of its origin, and what reports say of it."""

    folder: Path
    facts: Mapping[str, Any]
    notes: tuple[str, ...]


def _bundle_adapter(
    role: str,
    path: Path,
    model: Path,
    scratch: Path,
    whole: bool,
    rank: int | None,
    start: Path | None,
    status: Status | None,
) -> _BundleAdapter:
    context = ConversionContext(base_model=model, rank=rank, status=status)
    plain = plain_adapter(path, scratch / role, _USES[role], start=start, whole=whole, context=context)
    info = inspect_adapter(plain.folder)
    check_fits(info, path, model)
    facts = {
        "imported": True,
        **plain.facts,
        "r": info.config.get("r"),
        "alpha": info.config.get("lora_alpha"),
        "modules": len(info.shapes),
        **({"converted": list(plain.notes)} if plain.notes else {}),
    }
    return _BundleAdapter(plain.folder, facts, plain.notes)


def _check_settings(
    name: str,
    metric: str,
    expansion: str,
    update: str,
    initial: Path | None,
    base: Path | None,
    checkpoints: Collection[str],
) -> None:
    if not is_a(Name, name):
        raise UsageError(
            f"{name!r} is no name for a bundle", hint="use letters, digits, '.', '_' and '-' (--name)"
        )
    if metric not in METRICS or expansion not in EXPANSIONS or update not in UPDATES:
        raise UsageError(
            f"metric {metric!r}, expansion {expansion!r}, update {update!r}: unknown",
            hint=f"the metric is one of {', '.join(METRICS)}; the expansion is {' or '.join(EXPANSIONS)};"
            f" the update is {' or '.join(UPDATES)}",
        )
    if initial is None and update == "lora":
        raise UsageError(
            "no initial state, where a LoRA update is taken",
            hint="give --initial DIR (or --initial-model DIR), or --update full",
        )
    if base is not None and checkpoints:
        raise UsageError(
            "--base and whole models: their difference from the base model has the adapter in it",
            hint="merge the adapter into the base model first and name that with --model",
        )


@dataclass(frozen=True, slots=True)
class PlainAdapter:
    """A plain LoRA adapter.

    Attributes:
        folder: where it lies.
        notes: what was done to make it plain, in words; empty where nothing was.
        facts: for the manifest's `training`.
    """

    folder: Path
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def plain_adapter(
    folder: Path,
    scratch: Path,
    uses: Sequence[Use] = ("a direction",),
    *,
    start: Path | None = None,
    whole: bool = False,
    context: ConversionContext | None = None,
) -> PlainAdapter:
    """Return a plain LoRA adapter with what the training of `folder` moved.

    Args:
        scratch: a new folder for the adapter, should it have to be converted.
        uses: what it is read for.
        start: the adapter that was saved before the training, for PiSSA and its like.
        whole: whether the folder is a whole model's, and no adapter's.
        context: what else a conversion needs; its start is taken from `start`.

    Raises:
        AdapterError: the kind cannot be used so; the start is needed and missing, or belongs to another
            adapter; a file cannot be read.
        ModelError: a whole model does not fit the base model, or is no other than it.
    """
    if whole:
        source, kind = AdapterSource(folder, {}, dict), whole_model()
    else:
        source = source_of(folder)
        kind = kind_of(source.config, folder / CONFIG)
        if kind.plain:  # its tensors are judged where the bundle takes them
            return PlainAdapter(folder)
        inspect_adapter(folder, uses[0], start=start)
    before = None if start is None else source_of(start)
    notes: list[str] = []
    facts: dict[str, Any] = {}
    # Each conversion takes one thing off: an adapter may be DoRA that began as PiSSA.
    while not kind.plain:
        for use in uses:
            kind.check_use(use, folder, source.config, start=before is not None)
        if before is not None and kind.needs_start:
            check_start(kind, before, folder)
        given = replace(context or ConversionContext(), start=before)
        done = kind.convert(source, given)
        if before is not None and not kind.needs_start and kind.owns(before.config):
            before = _as_source(before.folder, kind.convert(before, given))
        source = _as_source(folder, done)
        kind = kind_of(source.config, folder / CONFIG)
        notes.append(done.note)
        facts |= done.facts
    _write(scratch, source)
    return PlainAdapter(scratch, tuple(notes), facts)


def _as_source(folder: Path, converted: Converted) -> AdapterSource:
    return AdapterSource(folder, converted.config, lambda: dict(converted.tensors))


def _write(folder: Path, source: AdapterSource) -> None:
    from safetensors.torch import save_file

    folder.mkdir()
    save_file(source.load(), folder / WEIGHTS, metadata={"format": "pt"})
    write_json(folder / CONFIG, dict(source.config))
