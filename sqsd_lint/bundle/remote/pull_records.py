"""Which cached bundle came from which address: small files beside the bundles, read without a network."""

from __future__ import annotations

from pathlib import Path

from sqsd_lint.bundle.cache import bundles_folder, is_cached_name
from sqsd_lint.common.formats import JsonModel, Sha256, read_as
from sqsd_lint.common.json_io import sha256_text, write_json
from sqsd_lint.common.strict_json import decode, read_bytes

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
