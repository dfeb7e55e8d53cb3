"""Where bundles, converted models and digests are kept between runs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def cache_root(cache_dir: Path | None = None) -> Path:
    """The cache folder: the argument, else SQSD_LINT_CACHE_DIR, else the platform's user cache."""
    if cache_dir is not None:
        return Path(cache_dir)
    if named := os.environ.get("SQSD_LINT_CACHE_DIR"):
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_cache_path("sqsd-lint"))


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """A new folder beside `target` that is gone afterwards, unless it was renamed into place meanwhile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def swap_in(folder: Path, target: Path) -> None:
    """Put `folder` in the place of `target`; what stood there goes away only once the new one stands."""
    old = target.with_name(f".{target.name}.old-{os.getpid()}")
    if target.exists():
        os.replace(target, old)
    try:
        os.replace(folder, target)
    except OSError:
        if old.exists():
            with suppress(OSError):
                os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)
