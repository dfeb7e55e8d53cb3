"""Bundles in the cache: listed, found, installed, removed."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from sqsd_lint import resources
from sqsd_lint.bundle.cache import bundles_folder, is_cached_name, mark_used, staging, swap_in
from sqsd_lint.bundle.load import Bundle, load_bundle
from sqsd_lint.bundle.manifest import MANIFEST, Manifest, load
from sqsd_lint.bundle.remote.pull_records import forget
from sqsd_lint.errors import BundleError, BundleNotFoundError, UsageError


@dataclass(frozen=True, slots=True)
class CachedBundle:
    """A line of `bundle list`: a cached or embedded bundle whose manifest was read and whose files were not.

    Attributes:
        manifest: None if it cannot be read; `problem` then says why.
    """

    id: str
    root: Path
    embedded: bool
    manifest: Manifest | None
    problem: str = ""


def used(bundle: Bundle, cache_dir: Path | None = None) -> Bundle:
    """Return the bundle, its use noted if it is a cached one: `bundle prune` goes by that."""
    if bundle.root.parent == bundles_folder(cache_dir):
        mark_used(bundle.root)
    return bundle


def find_digest(digest: str, cache_dir: Path | None = None) -> Bundle | None:
    """Return the cached bundle of a digest, None if there is none."""
    parent = bundles_folder(cache_dir)
    for folder in parent.glob(f"*@{digest[:12]}"):
        if (folder / MANIFEST).is_file() and (bundle := load_bundle(folder)).digest == digest:
            return bundle
    return None


def list_bundles(cache_dir: Path | None = None) -> list[CachedBundle]:
    """Return all cached bundles by id, then the embedded ones. Manifests only; no file is hashed."""
    entries = []
    for parent, embedded in ((bundles_folder(cache_dir), False), (resources.bundles_dir(), True)):
        folders = sorted(parent.iterdir()) if parent.is_dir() else []
        names = [f for f in folders if is_cached_name(f.name) and (f / MANIFEST).is_file()]
        entries += [_entry(folder, embedded) for folder in names]
    return entries


def _entry(folder: Path, embedded: bool) -> CachedBundle:
    try:
        manifest = load(folder)
    except BundleError as error:
        return CachedBundle(folder.name, folder, embedded, None, error.message)
    return CachedBundle(manifest.id if embedded else folder.name, folder, embedded, manifest)


def install(folder: Path, *, cache_dir: Path | None = None, replace: bool = False) -> Bundle:
    """Copy a bundle into the cache, where its id or its base model's name finds it.

    Raises:
        BundleError: the bundle does not hold.
        UsageError: another bundle of that id is cached, and `replace` is not set.
    """
    bundle = load_bundle(folder)
    target = bundles_folder(cache_dir) / bundle.id
    if (target / MANIFEST).is_file() and not replace:
        entry = _entry(target, embedded=False)
        if entry.manifest is None or entry.manifest.digest != bundle.digest:
            raise UsageError(
                f"another bundle {bundle.id!r} is already cached",
                hint=f"remove it first: `sqsd-lint bundle remove {bundle.id}`",
            )
    with staging(target) as stage:
        for name in [MANIFEST, *bundle.manifest.files]:
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, stage / name)
        load_bundle(stage)
        swap_in(stage, target)
    return load_bundle(target)


def remove_bundle(name: str, *, cache_dir: Path | None = None) -> Path:
    """Delete a cached bundle and return the folder that is gone.

    Raises:
        UsageError: `name` is no plain id; folders outside the cache are never touched.
        BundleNotFoundError: nothing of that id is cached.
    """
    if not is_cached_name(name):
        raise UsageError(
            f"{name!r} is not the id of a cached bundle",
            hint="`sqsd-lint bundle list` shows the ids; a folder elsewhere is yours to delete",
        )
    target = bundles_folder(cache_dir) / name
    if target.is_symlink():
        target.unlink()
    elif (target / MANIFEST).is_file():
        shutil.rmtree(target)
    else:
        raise BundleNotFoundError(f"no cached bundle {name!r}", hint="`sqsd-lint bundle list` shows the ids")
    forget(name, cache_dir)
    return target
