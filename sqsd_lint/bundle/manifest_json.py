"""Reading and writing `bundle.json`.

Reading checks every field by hand, which takes microseconds; the published JSON Schema says the same and
is applied where a bundle enters or leaves the house (import, build, calibrate, install, verify).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from sqsd_lint.bundle import fields as f
from sqsd_lint.bundle.agreement_json import from_fields as agreement
from sqsd_lint.bundle.digests import read_json, write_json
from sqsd_lint.bundle.manifest import (
    ADAPTERS,
    CONFIG,
    EXPANSIONS,
    FORMAT_VERSION,
    KINDS,
    MANIFEST,
    METRICS,
    UPDATES,
    WEIGHTS,
    BaseModel,
    Calibration,
    Direction,
    Manifest,
    ReferenceSet,
    Source,
)
from sqsd_lint.bundle.validation import from_fields
from sqsd_lint.errors import BundleCorruptError


def load(folder: Path) -> Manifest:
    """Read `folder/bundle.json`.

    Raises:
        BundleCorruptError: it is missing, not JSON, or a field does not hold.
    """
    path = folder / MANIFEST
    try:
        return from_json(read_json(path))
    except (OSError, ValueError) as error:
        raise BundleCorruptError(
            f"{path}: not a valid bundle manifest: {error}",
            hint="`sqsd-lint bundle verify` lists everything that is wrong; rebuild or fetch it again",
        ) from error


def dump(manifest: Manifest, folder: Path) -> None:
    """Write `folder/bundle.json`, whole or not at all."""
    write_json(folder / MANIFEST, manifest.to_json())


def from_json(raw: Any) -> Manifest:
    """The manifest in a JSON value.

    Raises:
        FieldError: a field is missing, unknown or of the wrong kind.
    """
    top = f.Fields(raw, "")
    if top.take("format_version", f.count) != FORMAT_VERSION:
        raise f.FieldError(f"format_version: only {FORMAT_VERSION} is known; a newer sqsd-lint may read it")
    target = top.take("target", f.Fields)
    manifest = Manifest(
        id=top.take("id", f.name),
        tool_version=top.take("tool_version", f.text),
        base_model=top.take("base_model", _base_model),
        directions=top.take("directions", _directions),
        expansion=top.take("expansion", f.one_of(EXPANSIONS)),
        metric=top.take("metric", f.one_of(METRICS)),
        modules=top.take("modules", _modules),
        base_adapter=top.take("base_adapter", f.optional(f.one_of(("base",)))),
        proxy=target.take("proxy", f.boolean),
        notes=target.take("notes", f.items(f.text)),
        provenance=top.take("provenance", f.items(_source)),
        training=top.take("training", f.mapping),
        calibration=top.take("calibration", f.optional(_calibration)),
        files=top.take("files", _files),
        validation=top.take("validation", from_fields) if "validation" in raw else None,
        update=top.take("update", f.one_of(UPDATES)) if "update" in raw else UPDATES[0],
        agreements=top.take("agreements", f.items(agreement)) if "agreements" in raw else (),
    )
    target.done()
    top.done()
    for name, direction in manifest.directions.items():
        at_initial = direction.expansion == "initial" and manifest.expansion == "shared"
        if direction.kind == "margin-gradient" and not at_initial:
            raise f.FieldError(f"directions.{name}: a margin gradient needs expansion `shared` at `initial`")
        if direction.kind == "margin-gradient" and manifest.update == "full":
            raise f.FieldError(f"directions.{name}: a margin gradient is one of LoRA factors, update is full")
        if direction.expansion is None and manifest.update == "lora":
            raise f.FieldError(f"directions.{name}.expansion: only a full update can do without an adapter")
    for adapter in manifest.adapters:
        for file in (CONFIG, WEIGHTS):
            if f"{adapter}/{file}" not in manifest.files:
                raise f.FieldError(f"files: {adapter}/{file} is missing, and the directions need it")
    try:
        _ = manifest.digest
    except (ValueError, RecursionError):  # free-form parts may hold 1e999
        raise f.FieldError("the manifest holds a number that is not finite, or goes too deep") from None
    return manifest


def _base_model(value: Any, path: str) -> BaseModel:
    top = f.Fields(value, path)
    base = BaseModel(
        id=top.take("id", f.text),
        revision=top.take("revision", f.optional(f.text)),
        weights_digest=top.take("weights_digest", f.hex64),
        tokenizer_digest=top.take("tokenizer_digest", f.hex64),
        template_digest=top.take("template_digest", f.hex64),
        architecture=top.take("architecture", f.text),
    )
    top.done()
    return base


def _directions(value: Any, path: str) -> dict[str, Direction]:
    top = f.Fields(value, path)
    found = {name: top.take(name, _direction) for name in ("danger", "safety")}
    top.done()
    return found


def _direction(value: Any, path: str) -> Direction:
    top = f.Fields(value, path)
    kind = top.take("kind", f.one_of(KINDS)) if isinstance(value, dict) and "kind" in value else KINDS[0]
    direction = Direction(
        kind=kind,
        adapter=top.take("adapter", f.one_of(ADAPTERS[1:])),
        expansion=top.take("expansion", f.optional(f.one_of(ADAPTERS[1:]))),
        scaling=top.take("scaling", f.optional(f.number)),
    )
    top.done()
    return direction


def _modules(value: Any, path: str) -> Literal["all"] | int:
    if value == "all":
        return "all"
    top = f.Fields(value, path)
    blocks = top.take("top_blocks", f.count)
    top.done()
    if blocks < 1:
        raise f.FieldError(f"{path}.top_blocks: expected 1 or more")
    return blocks


def _source(value: Any, path: str) -> Source:
    top = f.Fields(value, path)
    source = Source(
        name=top.take("name", f.text),
        role=top.take("role", f.one_of(ADAPTERS)),
        source=top.take("source", f.text),
        licence=top.take("licence", f.text),
        revision=top.take("revision", f.optional(f.text)),
        rows=top.take("rows", f.count),
        sha256=top.take("sha256", f.hex64),
        source_sha256=top.take("source_sha256", f.optional(f.hex64)),
        selection=top.take("selection", f.mapping),
    )
    top.done()
    return source


def _reference_set(value: Any, path: str) -> ReferenceSet:
    top = f.Fields(value, path)
    found = ReferenceSet(top.take("name", f.text), top.take("rows", f.count), top.take("sha256", f.hex64))
    top.done()
    return found


def _calibration(value: Any, path: str) -> Calibration:
    top = f.Fields(value, path)
    sets = top.take("sets", f.Fields)
    calibration = Calibration(
        benign=top.take("benign", f.scores),
        harmful=top.take("harmful", f.scores),
        tolerance=top.take("tolerance", f.distance),
        dtype=top.take("dtype", f.text),
        benign_sets=sets.take("benign", f.items(_reference_set)),
        harmful_sets=sets.take("harmful", f.items(_reference_set)),
        settings=top.take("settings", f.mapping),
    )
    sets.done()
    top.done()
    return calibration


def _files(value: Any, path: str) -> dict[str, str]:
    found = {
        f.inner_path(name, path): f.hex64(sha, f"{path}[{name!r}]")
        for name, sha in f.mapping(value, path).items()
    }
    if MANIFEST in found:
        raise f.FieldError(f"{path}: {MANIFEST} cannot hold its own digest")
    return found
