"""Which bundle a run uses: named, configured for the model, locked, cached, or the embedded default.

With a lock in force, whatever was chosen must be what the lock has for that base model.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sqsd_lint import resources
from sqsd_lint.bundle.installed import CachedBundle, find_digest, list_bundles, used
from sqsd_lint.bundle.load import Bundle, BundleInfo, load_bundle
from sqsd_lint.bundle.lock import EMBEDDED, Lock, Locked, read_lock
from sqsd_lint.bundle.manifest import MANIFEST
from sqsd_lint.bundle.remote.address import is_remote, parse
from sqsd_lint.common.progress import Status
from sqsd_lint.config import Settings
from sqsd_lint.errors import BundleError, BundleNotFoundError, UsageError, WrongBaseModelError

# The name of the embedded bundle, where nothing nearer goes by it.
DEFAULT = "default"


def open_for(settings: Settings, *, cache_dir: Path | None = None, status: Status | None = None) -> Bundle:
    """Return the bundle of a run, pulled if it is not cached.

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


def check_served(
    bundle: BundleInfo, settings: Settings, shown: str, *, cache_dir: Path | None = None
) -> None:
    """Refuse a bundle that somebody else scores with and that is not the one the settings want.

    Args:
        shown: who scores, for messages.

    Raises:
        BundleError: it is not the locked one, or not the named one, or which one is named cannot be known.
        WrongBaseModelError: it is made for another model, and no proxy is asked for.
        ConfigError: the lock does not hold.
    """
    lock = read_lock(settings)
    source = configured(settings)
    if lock is not None:
        _check(lock, bundle, settings.model, f"{shown} with {bundle.id}")
    elif source is not None:
        named = _digest_of(source, cache_dir)
        if named != bundle.digest:
            found = named[:12] if named else "no bundle of it here"
            raise BundleError(
                f"{shown} scores with {bundle.id} ({bundle.digest[:12]}), and {source} ({found}) is named",
                hint="name the service's bundle, or none; a lock pins one that is not on this machine",
            )
    if settings.model is not None and not settings.proxy and not _is_for(bundle, settings.model, cache_dir):
        raise WrongBaseModelError(
            f"{shown} scores with {bundle.id}, which was made for {bundle.manifest.base_model.id}, not for"
            f" {settings.model}",
            hint="name that model, another service, or --proxy, which the report then says",
        )


def _digest_of(source: str, cache_dir: Path | None) -> str | None:
    """Return the digest of a bundle that is on this machine; None of one that would have to be fetched."""
    if not is_remote(source):
        return load_bundle(_find(source, cache_dir)).digest
    from sqsd_lint.bundle.remote.pull import cached

    found = cached(str(parse(source)), cache_dir)
    return found.digest if found else None


def _is_for(bundle: BundleInfo, model: str, cache_dir: Path | None) -> bool:
    base = bundle.manifest.base_model
    if model == base.id:
        return True
    if not Path(model).is_dir():
        return False
    from sqsd_lint.bundle.model_digests import weights_digest

    return weights_digest(Path(model), cache_dir=cache_dir) == base.weights_digest


def configured(settings: Settings) -> str | None:
    """Return what `--bundle`, else `[bundles]` for the model, names; None if neither does."""
    if settings.bundle is not None or settings.model is None:
        return settings.bundle
    if settings.model in settings.bundles:
        return settings.bundles[settings.model]
    here = os.path.normpath(settings.model)
    return next((each for base, each in settings.bundles.items() if os.path.normpath(base) == here), None)


def _entry(lock: Lock, settings: Settings, source: str | None) -> Locked | None:
    """Return what is locked for the model, or if none is named, for the source."""
    if settings.model is not None and settings.model in lock.bundles and not settings.opinions:
        return lock.bundles[settings.model]
    if source is None:
        return None
    return next((each for each in lock.bundles.values() if _same(lock, each, source)), None)


def _same(lock: Lock, locked: Locked, source: str) -> bool:
    if locked.remote or is_remote(source):
        return locked.source == source
    return lock.folder(locked) == os.path.normpath(source)


def open_locked(
    lock: Lock, locked: Locked, cache_dir: Path | None = None, status: Status | None = None
) -> Bundle:
    """Return one bundle of a lock, pulled at its revision if it is not cached.

    Raises:
        BundleError: it cannot be reached, or what is there is not the locked bundle.
    """
    if locked.source == EMBEDDED:
        return open_bundle(None)
    if not locked.remote:
        return open_bundle(lock.folder(locked), cache_dir=cache_dir)
    if found := find_digest(locked.digest, cache_dir):
        return used(found, cache_dir)
    from sqsd_lint.bundle.remote.pull import pull

    address = parse(locked.source).at(locked.revision)
    return used(pull(address, expected=(locked.digest,), cache_dir=cache_dir, status=status), cache_dir)


def _open_other(
    lock: Lock, source: str | None, settings: Settings, cache_dir: Path | None, status: Status | None
) -> Bundle:
    """Open a bundle that the lock has under another name, or not: what is not locked is not fetched."""
    if source is None or not is_remote(source):
        model = None if settings.proxy else settings.model
        return open_bundle(source, model=model, cache_dir=cache_dir, status=status)
    from sqsd_lint.bundle.remote.pull import cached, pull

    address = parse(source)
    digests = [each.digest for each in lock.bundles.values()]
    if not digests:
        raise BundleError(f"{lock.path} locks no bundle, and {source} is asked for", hint=_remedy())
    bundle = cached(str(address), cache_dir) or pull(
        address, expected=digests, cache_dir=cache_dir, status=status
    )
    return used(bundle, cache_dir)


def _check(lock: Lock, bundle: BundleInfo, model: str | None, shown: str) -> None:
    """Refuse a bundle that the lock does not have for its base model."""
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


def open_bundle(
    ref: str | None,
    *,
    model: str | None = None,
    cache_dir: Path | None = None,
    status: Callable[[str], None] | None = None,
) -> Bundle:
    """Find the bundle that a run uses; one on the Hub or in a store is pulled if it is not cached.

    Args:
        ref: `--bundle`: a folder, the id of a cached or embedded bundle, or an address (`remote.address`).
        model: `--model`: a Hub id or a folder; decides where no bundle is named.
        status: told what is being fetched.

    Returns:
        The bundle of `ref`, else the one whose base model is `model`, else the embedded default.

    Raises:
        BundleNotFoundError: nothing fits; a named model never falls back on the default.
        BundleCorruptError: the bundle found does not hold.
        BundleError: it cannot be fetched.
        UsageError: several cached bundles fit the model; no such form of an address.
    """
    if ref is not None and is_remote(ref):
        from sqsd_lint.bundle.remote.pull import cached_or_pulled

        return used(cached_or_pulled(ref, cache_dir, status), cache_dir)
    if ref is not None:
        return used(load_bundle(_find(ref, cache_dir)), cache_dir)
    if model is not None:
        return used(load_bundle(_find_for_model(model, cache_dir)), cache_dir)
    return load_bundle(_embedded_default())


def _embedded_default() -> Path:
    folder = resources.bundles_dir() / DEFAULT
    if not folder.is_dir():
        raise BundleNotFoundError(
            "this installation has no embedded default bundle",
            hint="install the released wheel, or name a bundle with --bundle",
        )
    return folder


def _find(ref: str, cache_dir: Path | None) -> Path:
    if Path(ref).is_dir():
        return Path(ref)
    entries = list_bundles(cache_dir)
    for entry in entries:
        if ref == entry.id:
            return entry.root
    if versions := [e for e in entries if e.manifest and e.manifest.id == ref]:
        return _newest(versions, cache_dir)
    if ref == DEFAULT:
        return _embedded_default()
    raise BundleNotFoundError(
        f"no bundle {ref!r}: neither a folder nor the id of a cached bundle",
        hint="`sqsd-lint bundle list` shows the ids; `sqsd-lint bundle pull` fetches one",
    )


def _newest(versions: list[CachedBundle], cache_dir: Path | None) -> Path:
    """Return, of several versions of a bundle, the one that was pulled or installed last.

    Raises:
        UsageError: they come from different places: whoever publishes a bundle chooses its name.
    """
    if len({entry.manifest.digest for entry in versions if entry.manifest}) > 1:
        from sqsd_lint.bundle.remote.pull_records import pulls_by_folder

        known = pulls_by_folder(cache_dir)
        pulls = [known.get(entry.root.name) for entry in versions]
        places = {pulled[0].source.partition("@")[0] if pulled else "" for pulled in pulls}
        if len(places) > 1:
            raise UsageError(
                f"cached bundles of the name {versions[0].id!r} come from different places: "
                + ", ".join(sorted(place or "installed here" for place in places)),
                hint="choose one with --bundle ID@DIGEST, or name its address",
            )
    return max(versions, key=lambda entry: (entry.root / MANIFEST).stat().st_mtime).root


def _find_for_model(model: str, cache_dir: Path | None) -> Path:
    found = [e for e in list_bundles(cache_dir) if e.manifest]
    if Path(model).is_dir():
        from sqsd_lint.bundle.model_digests import weights_digest

        wanted = weights_digest(Path(model), cache_dir=cache_dir)
        found = [e for e in found if e.manifest and e.manifest.base_model.weights_digest == wanted]
    else:
        found = [e for e in found if e.manifest and e.manifest.base_model.id == model]
    cached = [e for e in found if not e.embedded]
    if len({e.manifest.id for e in cached if e.manifest}) > 1:
        raise UsageError(
            f"several cached bundles have the base model {model!r}: {', '.join(e.id for e in cached)}",
            hint="choose one with --bundle ID, or in the configuration under [bundles]",
        )
    if cached:
        return _newest(cached, cache_dir)
    if not found:
        raise BundleNotFoundError(
            f"no bundle for the model {model!r}",
            hint=_ways_to_a_bundle(model, cache_dir),
        )
    return found[0].root


def _ways_to_a_bundle(model: str, cache_dir: Path | None) -> str:
    """Return every way on from a model that has no bundle, each with its command."""
    from sqsd_lint.bundle.remote.paper_release import MODEL

    ways = [
        "pull one that is published: `sqsd-lint bundle pull hf://ORG/NAME`",
        f"build one: `sqsd-lint bundle build --model {model} --recipe paper --output DIR`",
        f"import adapters: `sqsd-lint bundle import --model {model} --danger DIR --safety DIR --initial DIR"
        " --output DIR`",
        "let a service score that has one: `--scorer URL`",
    ]
    if model == MODEL:
        release = "`sqsd-lint bundle import --release hf://Wxxxx/SQSD --danger Beaver-Danger --output DIR`"
        ways[0] = f"import the release of the paper's authors: {release}"
    try:
        default = open_bundle(None, cache_dir=cache_dir).manifest
    except BundleNotFoundError:
        pass
    else:
        measured = [*map(str, default.agreements), *(note for note in default.notes if "Spearman" in note)]
        ways.append(
            f"or judge by another model's: `--proxy --bundle {default.id}`"
            f" ({'; '.join(measured) or 'agreement unknown'})"
        )
    return "; ".join(ways)
