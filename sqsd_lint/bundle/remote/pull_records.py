"""Keep which cached bundle came from which address, and the hidden folder that a pull gathers one in.

The records are small files beside the bundles, read without a network.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqsd_lint.bundle.cache import bundles_folder, is_cached_name
from sqsd_lint.common.formats import JsonModel, Sha256, read_as
from sqsd_lint.common.json_io import sha256_text, write_json
from sqsd_lint.common.strict_json import decode, read_bytes
from sqsd_lint.errors import BundleError

_FOLDER = ".sources"
_LIMIT = 1 << 16


class Pulled(JsonModel, frozen=True):
    """A pull that is done, as a file beside the cached bundles has it.

    Attributes:
        source: the address as it was asked for: "hf://org/name@v1".
        revision: the commit that it named then; None for a store, which keeps no history.
        digest: of the bundle that came.
        folder: its name in the cache.
    """

    source: str
    revision: str | None
    digest: Sha256
    folder: str

    def __post_init__(self) -> None:
        if not is_cached_name(self.folder):
            raise ValueError(".folder: not a cached bundle")


def remember(pulled: Pulled, cache_dir: Path | None = None) -> None:
    """Record a pull; an earlier one of the same address is forgotten."""
    path = _path(pulled.source, cache_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, pulled.to_json())


def find(source: str, cache_dir: Path | None = None) -> Pulled | None:
    """Return the last pull of an address, None if there was none or its bundle is gone."""
    return _read(_path(source, cache_dir))


def pulls_by_folder(cache_dir: Path | None = None) -> dict[str, list[Pulled]]:
    """Return all pulls whose bundle is still there, by folder of the cache."""
    found: dict[str, list[Pulled]] = {}
    folder = bundles_folder(cache_dir) / _FOLDER
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        pulled = _read(path)
        if pulled:
            found.setdefault(pulled.folder, []).append(pulled)
    return found


def forget(folder: str, cache_dir: Path | None = None) -> None:
    """Drop what is recorded of a cached bundle that is gone."""
    for pulled in pulls_by_folder(cache_dir).get(folder, ()):
        _path(pulled.source, cache_dir).unlink(missing_ok=True)


def _path(source: str, cache_dir: Path | None) -> Path:
    return bundles_folder(cache_dir) / _FOLDER / f"{sha256_text(source)[:32]}.json"


def _read(path: Path) -> Pulled | None:
    try:
        return read_as(Pulled, decode(read_bytes(path, _LIMIT)))
    except (OSError, ValueError):
        return None  # not recorded is the same as forgotten: the bundle is pulled again


PARTIAL = ".pulling-"


@contextmanager
def alone(target: Path, digest: str, status: Callable[[str], None] | None) -> Iterator[Path]:
    """Yield the folder for a bundle that will stand at `target`; no other process writes to it meanwhile.

    It stays where the block fails, for the next pull to go on from.

    Raises:
        BundleError: the file system of the cache has no locks.
    """
    from filelock import FileLock, Timeout

    stage = target.with_name(f"{PARTIAL}{digest[:24]}")
    stage.parent.mkdir(parents=True, exist_ok=True)
    path = stage.with_name(f"{stage.name}.lock")
    if path.is_symlink():  # a pull makes no links: who laid one out would have us write elsewhere
        path.unlink()
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if status:
            status(f"waiting for another process that pulls {target.name}")
        lock.acquire()
    except NotImplementedError as error:  # filelock's name for a kernel that answers ENOSYS
        raise BundleError(
            f"{path}: this file system has no file locks",
            hint="name a cache on another one with --cache-dir or SQSD_LINT_CACHE_DIR",
        ) from error
    done = False
    try:
        with suppress(OSError):
            os.utime(path)  # one that a killed pull left may look abandoned to `bundle prune`
        if stage.is_symlink():
            stage.unlink()
        elif stage.is_dir() and any(each.is_symlink() for each in stage.rglob("*")):
            shutil.rmtree(stage)
        stage.mkdir(exist_ok=True)
        yield stage
        done = True
        with suppress(OSError):
            stage.rmdir()  # there still, and empty, where another process was faster
    finally:
        lock.release()
        if done:  # whoever waits for the lock now finds the bundle, and needs none
            with suppress(OSError):
                path.unlink()


def empty(stage: Path) -> None:
    """Remove what was gathered."""
    for path in stage.rglob("*"):
        if path.is_file():
            path.unlink()
