"""Where bundles, converted models and digests are kept between runs."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_CACHED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(@[0-9a-f]{12})?\Z")
_USED = ".used"
_REPLACED = ".old-"


def cache_root(cache_dir: Path | None = None) -> Path:
    """Return the cache folder: the argument, else SQSD_LINT_CACHE_DIR, else the platform's user cache."""
    if cache_dir is not None:
        return Path(cache_dir)
    if named := os.environ.get("SQSD_LINT_CACHE_DIR"):
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_cache_path("sqsd-lint"))


def bundles_folder(cache_dir: Path | None = None) -> Path:
    """Return the folder of cached bundles."""
    return cache_root(cache_dir) / "bundles"


def cached_name(bundle_id: str, digest: str) -> str:
    """Return the cache's name for a bundle that was pulled: versions of one bundle lie side by side."""
    return f"{bundle_id}@{digest[:12]}"


def is_cached_name(name: Any) -> bool:
    """Tell whether a name is one of a cached bundle: an id, or what `cached_name` makes of it."""
    return isinstance(name, str) and bool(_CACHED.match(name))


def mark_used(folder: Path) -> None:
    """Note that a cached bundle was used just now; a cache that cannot be written keeps no such notes."""
    with suppress(OSError):
        (folder / _USED).touch()


def last_used(folder: Path) -> float | None:
    """Return when a cached bundle was used last, in seconds since 1970; None if it never was."""
    try:
        return (folder / _USED).stat().st_mtime
    except OSError:
        return None


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """Yield a new folder beside `target` that is gone afterwards, unless it was renamed into place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def swap_in(folder: Path, target: Path) -> None:
    """Put `folder` in the place of `target`; what stood there goes away only once the new one stands.

    Of a link only the link goes.
    """
    old = target.with_name(f".{target.name}{_REPLACED}{os.getpid()}")
    if os.path.lexists(target):
        os.replace(target, old)
    try:
        os.replace(folder, target)
    except OSError:
        if os.path.lexists(old):
            with suppress(OSError):
                os.replace(old, target)
        raise
    remove(old)


def replaced(folder: Path) -> Iterator[Path]:
    """Yield what `swap_in` put aside in a folder and was killed before it could remove it."""
    yield from folder.glob(f".*{_REPLACED}*")


def remove(path: Path) -> None:
    """Remove a folder with its content, a file or a link, as far as that can be done."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
