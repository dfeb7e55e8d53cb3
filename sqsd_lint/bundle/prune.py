"""`bundle list` and `bundle prune`: what cached bundles are worth, and freeing the space of those unused."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqsd_lint.bundle.cache import bundles_folder, last_used, remove, replaced
from sqsd_lint.bundle.installed import CachedBundle, list_bundles, remove_bundle
from sqsd_lint.bundle.manifest import MANIFEST
from sqsd_lint.bundle.remote.pull_records import PARTIAL, pulls_by_folder
from sqsd_lint.errors import BundleNotFoundError

_DAY = 86_400
# What nobody has written to for so long is of a process that was killed, and nobody has come back for it.
_ABANDONED = 1 * _DAY


@dataclass(frozen=True, slots=True)
class CachedUsage:
    """A cached or embedded bundle, what it takes and when it was of use: a line of `bundle list`.

    Attributes:
        size: bytes on disk.
        used: when a run used it last, else when it came, in seconds since 1970; None for the embedded one.
        sources: addresses that it was pulled from; empty for one that was made or installed here.
    """

    entry: CachedBundle
    size: int
    used: float | None
    sources: tuple[str, ...] = ()

    @property
    def digest(self) -> str | None:
        return self.entry.manifest.digest if self.entry.manifest else None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `prune` removed, or would remove: cached bundles, and what killed pulls left behind."""

    bundles: tuple[CachedUsage, ...]
    leftovers: tuple[Path, ...]
    size: int


def list_usage(cache_dir: Path | None = None) -> list[CachedUsage]:
    """Return all cached and embedded bundles, with sizes and last uses."""
    known = pulls_by_folder(cache_dir)
    found = []
    for entry in list_bundles(cache_dir):
        came = None if entry.embedded else _touched(entry.root / MANIFEST)
        names = () if entry.embedded else tuple(each.source for each in known.get(entry.id, ()))
        found.append(CachedUsage(entry, _size(entry.root), last_used(entry.root) or came, names))
    return found


def prune(
    *,
    unused_for: float = 30.0,
    own: bool = False,
    locked: Collection[str] = (),
    dry_run: bool = False,
    cache_dir: Path | None = None,
    now: float | None = None,
) -> Pruned:
    """Remove cached bundles that no run has used for a while, and what killed pulls left behind.

    Args:
        unused_for: days.
        own: also bundles that were made or installed here, which no pull brings back.
        locked: digests that stay, however long they were not used.
        dry_run: remove nothing.
        now: seconds since 1970.
    """
    now = time.time() if now is None else now
    old = [
        each
        for each in list_usage(cache_dir)
        if not each.entry.embedded
        and each.used is not None
        and now - each.used >= unused_for * _DAY
        and (own or each.sources)
        and each.digest not in locked
    ]
    folder = bundles_folder(cache_dir)
    left = [
        path
        for path in sorted({*folder.glob(f"{PARTIAL}*"), *replaced(folder)})
        if now - _touched(path) >= _ABANDONED
    ]
    size = sum(each.size for each in old) + sum(map(_size, left))
    if not dry_run:
        for each in old:
            with suppress(BundleNotFoundError):  # another process was faster
                remove_bundle(each.entry.id, cache_dir=cache_dir)
        for path in left:
            remove(path)
    return Pruned(tuple(old), tuple(left), size)


def _size(path: Path) -> int:
    """Return bytes of a file or of all files in a folder; what goes away meanwhile counts nothing."""
    return sum(found.st_size for found in _stats(path) if not stat.S_ISDIR(found.st_mode))


def _touched(path: Path) -> float:
    """Return when anything in a folder was written last."""
    return max((found.st_mtime for found in _stats(path)), default=0.0)


def _stats(path: Path) -> Iterator[os.stat_result]:
    """Yield the status of a path and of all below it; no link is followed."""
    for each in (path, *(() if path.is_symlink() else path.rglob("*"))):
        with suppress(OSError):
            yield each.lstat()
