"""Which bundle a run uses: named, configured for the model, locked, cached, or the embedded default.

With a lock in force, whatever was chosen must be what the lock has for that base model.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sqsd_lint.bundle import sources
from sqsd_lint.bundle.lock import EMBEDDED, Lock, Locked, read_lock
from sqsd_lint.bundle.store import Bundle, find_digest, open_bundle, used
from sqsd_lint.config import Settings
from sqsd_lint.errors import BundleError

Status = Callable[[str], None]


def open_for(settings: Settings, *, cache_dir: Path | None = None, status: Status | None = None) -> Bundle:
    """The bundle of a run, pulled if it is not cached.

    Args:
        status: told what is being fetched.

    Raises:
        BundleError: there is none, it cannot be fetched, does not hold, or is not the locked one.
        ConfigError, UsageError: the lock does not hold; several cached bundles fit; no such address.
    """
    source = configured(settings)
    lock = read_lock(settings)
    if lock is None:
        # A proxy stands in for a model that it was not made for: the model does not choose it.
        model = None if settings.proxy else settings.model
        return open_bundle(source, model=model, cache_dir=cache_dir, status=status)
    locked = _entry(lock, settings, source)
    if locked is not None and (source is None or _same(lock, locked, source)):
        bundle = open_locked(lock, locked, cache_dir, status)
    else:
        if locked is not None and settings.bundle is None and source is not None:
            raise BundleError(
                f"{lock.path} is out of date: it locks {locked.source} for {settings.model}, and the"
                f" configuration has {source}",
                hint="run `sqsd-lint lock` and commit what it writes",
            )
        bundle = _open_other(lock, source, settings, cache_dir, status)
    # Of several bundles each is locked for its own base model: the one to be fine-tuned chooses none of them.
    _check(lock, bundle, None if settings.opinions else settings.model, source or bundle.id)
    return bundle


def configured(settings: Settings) -> str | None:
    """What `--bundle`, else `[bundles]` for the model, names; None if neither does."""
    if settings.bundle is not None or settings.model is None:
        return settings.bundle
    if settings.model in settings.bundles:
        return settings.bundles[settings.model]
    here = os.path.normpath(settings.model)
    return next((each for base, each in settings.bundles.items() if os.path.normpath(base) == here), None)


def _entry(lock: Lock, settings: Settings, source: str | None) -> Locked | None:
    """What is locked for the model, or if none is named, for the source."""
    if settings.model is not None and settings.model in lock.bundles and not settings.opinions:
        return lock.bundles[settings.model]
    if source is None:
        return None
    return next((each for each in lock.bundles.values() if _same(lock, each, source)), None)


def _same(lock: Lock, locked: Locked, source: str) -> bool:
    if locked.remote or sources.is_remote(source):
        return locked.source == source
    return lock.folder(locked) == os.path.normpath(source)


def open_locked(
    lock: Lock, locked: Locked, cache_dir: Path | None = None, status: Status | None = None
) -> Bundle:
    """One bundle of a lock, pulled at its revision if it is not cached.

    Raises:
        BundleError: it cannot be reached, or what is there is not the locked bundle.
    """
    if locked.source == EMBEDDED:
        return open_bundle(None)
    if not locked.remote:
        return open_bundle(lock.folder(locked), cache_dir=cache_dir)
    if found := find_digest(locked.digest, cache_dir):
        return used(found, cache_dir)
    from sqsd_lint.bundle.pull import pull

    address = sources.parse(locked.source).at(locked.revision)
    return used(pull(address, expected=(locked.digest,), cache_dir=cache_dir, status=status), cache_dir)


def _open_other(
    lock: Lock, source: str | None, settings: Settings, cache_dir: Path | None, status: Status | None
) -> Bundle:
    """A bundle that the lock has under another name, or not at all: what is not locked is not fetched."""
    if source is None or not sources.is_remote(source):
        model = None if settings.proxy else settings.model
        return open_bundle(source, model=model, cache_dir=cache_dir, status=status)
    from sqsd_lint.bundle.pull import cached, pull

    address = sources.parse(source)
    digests = [each.digest for each in lock.bundles.values()]
    if not digests:
        raise BundleError(f"{lock.path} locks no bundle, and {source} is asked for", hint=_remedy())
    bundle = cached(str(address), cache_dir) or pull(
        address, expected=digests, cache_dir=cache_dir, status=status
    )
    return used(bundle, cache_dir)


def _check(lock: Lock, bundle: Bundle, model: str | None, shown: str) -> None:
    """Refuses a bundle that the lock does not have for its base model."""
    base = model if model is not None and model in lock.bundles else bundle.manifest.base_model.id
    locked = lock.bundles.get(base)
    if locked is None:
        known = ", ".join(sorted(lock.bundles)) or "none"
        raise BundleError(
            f"{lock.path} locks no bundle for the base model {base} (only for: {known}), and {shown}"
            f" with the digest {bundle.digest[:12]} was asked for",
            hint=_remedy(),
        )
    if locked.digest != bundle.digest:
        raise BundleError(
            f"{lock.path}: expected the bundle {locked.id} with the digest {locked.digest[:12]} for {base},"
            f" found {shown} with {bundle.digest[:12]}",
            hint=_remedy(),
        )


def _remedy() -> str:
    return (
        "judge with the locked bundle (leave --bundle out); if the change is meant, configure it, run"
        " `sqsd-lint lock --upgrade` and commit the lock; --isolated reads no lock"
    )
