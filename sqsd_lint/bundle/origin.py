"""Where other machines find a bundle that this one has."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from sqsd_lint import resources
from sqsd_lint.bundle import pulled, sources
from sqsd_lint.bundle.lock import EMBEDDED
from sqsd_lint.bundle.store import list_bundles
from sqsd_lint.errors import ConfigError

_PUBLISH = "`sqsd-lint bundle push` it and name its address, or name a folder of the repository"


def shared(source: str, path: str, cache_dir: Path | None) -> str:
    """A source as other machines can use it: an address, a folder relative to the lock, or EMBEDDED.

    Raises:
        ConfigError: it is none of them. Which bundle an id stands for is up to the cache of each machine.
    """
    if sources.is_remote(source):
        return str(sources.parse(source))
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
    """Where a cached bundle came from; EMBEDDED of an embedded one.

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
    """The address that a cached bundle was pulled from, as it was asked for; None if it was not."""
    known = pulled.sources(cache_dir).get(folder, [])
    asked = [each.source for each in known if not (each.revision and each.source.endswith(each.revision))]
    return min(asked or [each.source for each in known], key=len, default=None)
