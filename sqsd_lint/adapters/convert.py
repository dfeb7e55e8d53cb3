"""An adapter of any kind as the plain LoRA adapter that a bundle keeps and PEFT loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqsd_lint.adapters.peft_folder import CONFIG, WEIGHTS, check_start, inspect_adapter, source_of
from sqsd_lint.adapters.registry import AdapterSource, Context, Converted, Use, kind_of, whole_model
from sqsd_lint.common.json_io import write_json


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
    context: Context | None = None,
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
        given = replace(context or Context(), start=before)
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
