"""Make a lock from the configuration, and compare the two later.

Where other machines find a bundle that this one has.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from msgspec.structs import replace

from sqsd_lint import resources
from sqsd_lint.bundle.installed import list_bundles
from sqsd_lint.bundle.lock import EMBEDDED, Lock, Locked
from sqsd_lint.bundle.manifest import Manifest
from sqsd_lint.bundle.remote.address import is_remote, parse
from sqsd_lint.bundle.remote.pull_records import pulls_by_folder
from sqsd_lint.bundle.resolve import configured, open_bundle
from sqsd_lint.common.progress import Status
from sqsd_lint.config import Settings
from sqsd_lint.errors import BundleNotFoundError, ConfigError, UsageError, WrongBaseModelError

_PUBLISH = "`sqsd-lint bundle push` it and name its address, or name a folder of the repository"


def shared(source: str, path: str, cache_dir: Path | None) -> str:
    """Return a source as other machines can use it: an address, a folder relative to the lock, or EMBEDDED.

    Raises:
        ConfigError: it is none of them. Which bundle an id stands for is up to the cache of each machine.
    """
    if is_remote(source):
        return str(parse(source))
    if os.path.isdir(source):
        return PurePath(os.path.relpath(source, os.path.dirname(path) or ".")).as_posix()
    entries = list_bundles(cache_dir)
    if any(entry.embedded and entry.id == source for entry in entries):
        return EMBEDDED
    named = (each.root.name for each in entries if each.manifest and source in (each.id, each.manifest.id))
    known = next((found for name in named if (found := _origin(name, cache_dir))), None)
    raise ConfigError(
        f"the bundle {source!r} is neither an address nor a folder: an id stands for what one machine has in"
        " its cache, so it cannot be locked for others",
        hint=f"name its address instead: {known}" if known else _PUBLISH,
    )


def address_of(root: Path, cache_dir: Path | None) -> str:
    """Return where a cached bundle came from; EMBEDDED of an embedded one.

    Raises:
        ConfigError: from nowhere: it was made or installed here.
    """
    if root.parent == resources.bundles_dir():
        return EMBEDDED
    if found := _origin(root.name, cache_dir):
        return found
    raise ConfigError(
        f"the bundle {root.name!r} is only in the cache of this machine, so that no other one can get it",
        hint=_PUBLISH,
    )


def _origin(folder: str, cache_dir: Path | None) -> str | None:
    """Return the address that a cached bundle was pulled from, as it was asked for; None if it was not."""
    known = pulls_by_folder(cache_dir).get(folder, [])
    asked = [each.source for each in known if not (each.revision and each.source.endswith(each.revision))]
    return min(asked or [each.source for each in known], key=len, default=None)


@dataclass(frozen=True, slots=True)
class LockChange:
    """How a new lock differs from the old one.

    Attributes:
        base: the base model.
        old, new: None where the base model was, or is, not locked.
    """

    base: str
    old: Locked | None
    new: Locked | None


def make_lock(
    settings: Settings,
    old: Lock | None,
    path: str,
    *,
    upgrade: bool = False,
    models: Collection[str] = (),
    cache_dir: Path | None = None,
    status: Status | None = None,
) -> Lock:
    """Return a lock of every bundle in `[bundles]` and of the one that a run without options uses.

    What is locked already for the same source stays, without a look at the network; folders and the embedded
    bundle are always read anew.

    Args:
        upgrade: look again where branches and tags lead.
        models: with `upgrade`, only for these base models.

    Raises:
        ConfigError: a bundle that only this machine has, or can look up; two for one base model.
        WrongBaseModelError: a bundle is configured for a model that it was not made for.
        UsageError: a model to upgrade that is not in the lock. BundleError: a bundle cannot be reached.
    """
    found: dict[str, Locked] = {}
    for base, source in _wanted(settings, old, path, cache_dir):
        kept = _kept(old, base, source)
        if kept and (not upgrade or (models and kept[0] not in models)):
            key, locked = kept
        else:
            key, locked = _resolved(settings, base, source, path, cache_dir, status)
        if found.setdefault(key, locked) != locked:
            raise ConfigError(
                f"two bundles for {key}: {found[key].source} and {locked.source}",
                hint="a lock has one bundle for each base model: name others, or have no lock"
                if settings.opinions
                else "name the same bundle as `bundle` and under [bundles], or leave one of them out",
            )
    if unknown := sorted(set(models) - set(found)):
        known = ", ".join(sorted(found))
        raise UsageError(
            f"{unknown[0]}: no such base model in the configuration", hint=f"locked are: {known}"
        )
    return Lock(path, found)


def outdated(settings: Settings, old: Lock | None, path: str, *, cache_dir: Path | None = None) -> list[str]:
    """Return how a lock is not what `make_lock` would write, as far as needs no network; empty if it is."""
    if old is None:
        return [f"there is no {path}"]
    said, seen = [], set()
    try:
        for base, source in _wanted(settings, old, path, cache_dir):
            key, otherwise = _compared(settings, old, base, source, path, cache_dir)
            seen.add(key)
            said += [otherwise] if otherwise else []
    except BundleNotFoundError as error:  # what is not here cannot be compared, nor can it judge
        return [*said, error.message]
    return said + [f"{key}: locked, but no longer configured" for key in sorted(set(old.bundles) - seen)]


def _compared(
    settings: Settings, old: Lock, base: str | None, source: str, path: str, cache_dir: Path | None
) -> tuple[str | None, str]:
    """Return the base model that a source is for, None if only the bundle has it; how the lock differs."""
    if not _is_local(source):
        kept = _kept(old, base, source)
        return (kept[0], "") if kept else (None, f"{base or 'the configured bundle'}: {source} is not locked")
    key, locked = _resolved(settings, base, source, path, cache_dir, None)
    there = old.bundles.get(key)
    if there and there.screen is None:  # from before the bundle had one: then none is used
        locked = replace(locked, screen=None)
    if there == locked:
        return key, ""
    if there and replace(there, screen=locked.screen) == locked:
        return key, f"{key}: {locked.source} has another screen than the locked one"
    was = f"locked as {there.digest[:12]}" if there else "not locked"
    return key, f"{key}: {locked.source} has the digest {locked.digest[:12]} and is {was}"


def changes(old: Lock | None, new: Lock) -> list[LockChange]:
    """Return what differs between two locks, by base model."""
    before = old.bundles if old else {}
    keys = sorted({*before, *new.bundles})
    pairs = [LockChange(key, before.get(key), new.bundles.get(key)) for key in keys]
    return [change for change in pairs if change.old != change.new]


def _wanted(
    settings: Settings, old: Lock | None, path: str, cache_dir: Path | None
) -> Iterator[tuple[str | None, str]]:
    """Yield (base model, source) of every bundle to lock; None where only the bundle has the base model."""
    for base, source in settings.bundles.items():
        found = shared(source, path, cache_dir)
        if found == EMBEDDED:
            raise ConfigError(
                f"[bundles] has the embedded bundle {source} for {base}: it needs no entry",
                hint="leave the entry out, or name it as `bundle`",
            )
        yield (None if os.path.isdir(base) else base), found
    for bundle in settings.opinions[1:]:
        yield None, shared(bundle, path, cache_dir)
    chosen = configured(settings)
    if chosen is not None and chosen != settings.bundle:
        return  # one of [bundles]
    if chosen is None and (settings.model is None or settings.proxy):
        yield None, EMBEDDED
        return
    if chosen is None:
        kept = old.bundles.get(settings.model) if old and settings.model else None
        # As a run takes it, whatever this machine has in its cache.
        if kept is not None and (kept.remote or kept.source == EMBEDDED):
            yield settings.model, kept.source
            return
        root = open_bundle(None, model=settings.model, cache_dir=cache_dir).root
        yield None, address_of(root, cache_dir)
        return
    yield None, shared(chosen, path, cache_dir)


def _is_local(source: str) -> bool:
    return not is_remote(source)


def _kept(old: Lock | None, base: str | None, source: str) -> tuple[str, Locked] | None:
    """Return what is locked already for a remote source, with its base model."""
    if old is None or _is_local(source):
        return None
    for key, locked in old.bundles.items():
        if locked.source == source and base in (None, key):
            return key, locked
    return None


def _resolved(
    settings: Settings,
    base: str | None,
    source: str,
    path: str,
    cache_dir: Path | None,
    status: Status | None,
) -> tuple[str, Locked]:
    """Return what lies at a source now; of a remote bundle only the manifest is read, which covers all."""
    revision = None
    if source == EMBEDDED:
        manifest = open_bundle(None).manifest
    elif _is_local(source):
        folder = os.path.normpath(os.path.join(os.path.dirname(path), source))
        manifest = open_bundle(folder, cache_dir=cache_dir).manifest
    else:
        from sqsd_lint.bundle.remote.pull import inspect_remote

        if status:
            status(f"looking at {source}")
        found = inspect_remote(parse(source))
        manifest, revision = found.manifest, found.address.revision
    key = _key(manifest, base, source, proxy=settings.proxy)
    return key, Locked(manifest.id, source, revision, manifest.digest, manifest.screen_digest)


def _key(manifest: Manifest, base: str | None, source: str, *, proxy: bool) -> str:
    own = manifest.base_model.id
    if base is not None and base != own and not proxy:
        raise WrongBaseModelError(
            f"[bundles] has {source} for {base}, and that bundle was made for {own}",
            hint="name a bundle of that model; with `proxy = true` a bundle of another one stands in",
        )
    return base or own
