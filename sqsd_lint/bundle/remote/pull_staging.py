"""The hidden folder of the cache that a bundle is gathered in before anybody can see it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqsd_lint.errors import BundleError

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
