"""Writing a bundle: everything is put together beside its place, checked, and renamed into it."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from sqsd_lint.adapters.peft_folder import CONFIG, WEIGHTS
from sqsd_lint.bundle.cache import staging, swap_in
from sqsd_lint.bundle.load import Bundle, load_bundle
from sqsd_lint.bundle.manifest import MANIFEST, Manifest, dump, from_json
from sqsd_lint.common.formats import FieldError
from sqsd_lint.common.json_io import read_json, sha256_file, write_json
from sqsd_lint.errors import BundleCorruptError, UsageError


def check_output(output: Path) -> None:
    """Refuse to write a bundle over anything but a bundle or an empty folder.

    Raises:
        UsageError: `output` is something else.
    """
    if not output.exists() or (output / MANIFEST).is_file():
        return
    if not output.is_dir() or any(output.iterdir()):
        raise UsageError(
            f"{output}: exists and is not a bundle; nothing was written",
            hint="name a new folder with --output",
        )


def write_bundle(
    output: Path,
    manifest: Manifest,
    adapters: Mapping[str, Path],
    files: Mapping[str, Path] | None = None,
) -> Bundle:
    """Write a bundle folder, whole or not at all, replacing a bundle that stands there.

    Args:
        manifest: complete but for `files`, which is filled in here.
        adapters: PEFT folder per adapter name; only its configuration and weights are taken.
        files: further files by their path in the bundle.

    Raises:
        UsageError: `output` is a folder that is not a bundle, or cannot be written.
        BundleCorruptError: the manifest breaks its format.
    """
    check_output(output)
    try:
        with staging(output) as stage:
            _fill(stage, manifest, adapters, files or {})
            load_bundle(stage)
            swap_in(stage, output)
    except OSError as error:
        raise UsageError(f"{output}: cannot be written: {error}", hint="name another --output") from error
    return load_bundle(output)


def update_bundle(
    bundle: Bundle, manifest: Manifest, files: Mapping[str, Path], *, without: Collection[str] = ()
) -> Bundle:
    """Write a bundle anew with another manifest and further files; every other file but `without` stays."""
    adapters = {name: bundle.root / name for name in manifest.adapters}
    taken = {f"{name}/{file}" for name in adapters for file in (CONFIG, WEIGHTS)}
    kept = {name: bundle.root / name for name in bundle.manifest.files if name not in (*taken, *without)}
    return write_bundle(bundle.root, manifest, adapters, {**kept, **files})


def _fill(stage: Path, manifest: Manifest, adapters: Mapping[str, Path], files: Mapping[str, Path]) -> None:
    for name, folder in adapters.items():
        (stage / name).mkdir()
        shutil.copyfile(folder / WEIGHTS, stage / name / WEIGHTS)
        write_json(stage / name / CONFIG, _portable(read_json(folder / CONFIG), manifest.base_model.id))
    for inner, path in files.items():
        (stage / inner).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, stage / inner)
    paths = sorted(p for p in stage.rglob("*") if p.is_file())
    digests = {p.relative_to(stage).as_posix(): sha256_file(p) for p in paths}
    manifest = replace(manifest, files=digests)
    try:
        from_json(manifest.to_json())
    except FieldError as error:
        raise BundleCorruptError(f"the manifest breaks its format: {error}") from None
    dump(manifest, stage)


def _portable(config: dict[str, Any], base_model: str) -> dict[str, Any]:
    """Return a PEFT configuration that is the same wherever the adapter was trained.

    PEFT records the path of the base model on the machine at hand, and module names in a set's order.
    """
    targets = config.get("target_modules")
    return {
        **config,
        "base_model_name_or_path": base_model,
        "target_modules": sorted(targets) if isinstance(targets, list) else targets,
        "inference_mode": True,
    }
