"""Pulling a bundle: file by file into a hidden folder of the cache, checked, renamed into view when whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqsd_lint.bundle.cache import bundles_folder, cached_name, swap_in
from sqsd_lint.bundle.load import Bundle, load_bundle
from sqsd_lint.bundle.manifest import MANIFEST, MAX_MANIFEST, Manifest, parse_manifest
from sqsd_lint.bundle.remote import pull_records
from sqsd_lint.bundle.remote.address import Address, parse
from sqsd_lint.bundle.remote.connect import connect, reaching
from sqsd_lint.bundle.remote.files import MAX_FILE, Remote, TooLargeError, writing
from sqsd_lint.bundle.remote.pull_records import alone, empty
from sqsd_lint.bundle.verify import verify
from sqsd_lint.common.json_io import sha256_file
from sqsd_lint.common.progress import Status
from sqsd_lint.errors import BundleCorruptError, BundleError

_MAX_FILES = 1000
_MAX_BUNDLE = 64 << 30
# How often somebody who watches is told.
_TOLD_EVERY = 8 << 20


@dataclass(frozen=True, slots=True)
class RemoteBundle:
    """A bundle at an address, of which only the manifest was read.

    Attributes:
        text: the manifest as it stands there.
    """

    remote: Remote
    manifest: Manifest
    text: bytes

    @property
    def address(self) -> Address:
        """What was asked for, with the commit in place of a branch or tag."""
        return self.remote.address

    @property
    def digest(self) -> str:
        return self.manifest.digest


def inspect_remote(address: Address) -> RemoteBundle:
    """Read the manifest of the bundle at an address: its digest stands for every file of it.

    Raises:
        BundleNotFoundError: there is none. BundleError: it cannot be reached.
        BundleCorruptError: the manifest does not hold, names files outside of the bundle or of a kind that no
            bundle has, or too many of them.
    """
    remote = connect(address)
    with reaching(address):
        text = remote.read(MANIFEST, MAX_MANIFEST)
    try:
        manifest = parse_manifest(text)
    except ValueError as error:
        raise BundleCorruptError(
            f"{address}: {MANIFEST} is not a valid bundle manifest: {error}",
            hint="nothing was kept of it; ask whoever published it to push it again",
        ) from error
    if len(manifest.files) > _MAX_FILES:
        raise BundleCorruptError(
            f"{address}: {len(manifest.files):,} files, where {_MAX_FILES:,} are allowed"
        )
    return RemoteBundle(remote, manifest, text)


def pull(
    address: Address,
    *,
    expected: Collection[str] = (),
    cache_dir: Path | None = None,
    status: Status | None = None,
) -> Bundle:
    """Fetch a bundle into the cache, or find that it is there already.

    A pull that was killed goes on where it stopped; what is damaged in the cache is fetched again. Nothing of
    a bundle is visible before all of it is there and every file has the SHA-256 that the manifest gives.

    Args:
        expected: digests that are accepted; none given, any.
        status: told what is being fetched.

    Raises:
        BundleError: it cannot be reached, is not what was expected, or does not hold.
    """
    if status:
        status(f"looking at {address}")
    found = inspect_remote(address)
    if expected and found.digest not in expected:
        raise unexpected(str(found.address), found.digest, expected)
    folder = cached_name(found.manifest.id, found.digest)
    target = bundles_folder(cache_dir) / folder
    bundle = _whole(target, found.digest)
    if bundle is None:
        with writing(target), alone(target, found.digest, status) as stage:
            if _whole(target, found.digest) is None:  # unless another process was faster
                _fill(stage, found, status)
                _check(stage, found)
                swap_in(stage, target)
        bundle = load_bundle(target)
    with suppress(OSError):  # a cache that cannot be written keeps no notes
        os.utime(target / MANIFEST)  # of several versions of a bundle, the one that was pulled last is meant
        for source in {str(address), str(found.address)}:
            commit = found.address.revision
            pull_records.remember(pull_records.Pulled(source, commit, found.digest, folder), cache_dir)
    return bundle


def _whole(folder: Path, digest: str) -> Bundle | None:
    """Return the bundle of a digest in a folder of the cache; None if it is another one, or damaged."""
    try:
        bundle = load_bundle(folder)
    except (BundleError, OSError):
        return None
    return bundle if bundle.digest == digest else None


def cached(source: str, cache_dir: Path | None = None) -> Bundle | None:
    """Return the bundle that was pulled from an address before, without a look at the network."""
    known = pull_records.find(source, cache_dir)
    folder = bundles_folder(cache_dir) / known.folder if known else None
    if known is None or folder is None or not (folder / MANIFEST).is_file():
        return None
    bundle = load_bundle(folder)
    return bundle if bundle.digest == known.digest else None


def cached_or_pulled(reference: str, cache_dir: Path | None = None, status: Status | None = None) -> Bundle:
    """Return the bundle at an address: as it was pulled last, whatever a branch may be by now, else pulled.

    Raises:
        UsageError: no such form of an address. BundleError: see `pull`.
    """
    address = parse(reference)
    return cached(str(address), cache_dir) or pull(address, cache_dir=cache_dir, status=status)


def unexpected(where: str, digest: str, expected: Collection[str]) -> BundleError:
    """Return the error for a bundle that is another one than was asked for."""
    wanted = " or ".join(sorted(each[:12] for each in expected))
    return BundleError(
        f"{where}: expected a bundle with the digest {wanted}, found {digest[:12]}; nothing was kept of it",
        hint="what is published there has changed: have it put back, or accept the new one with"
        " `sqsd-lint lock --upgrade` and commit the lock",
    )


def _fill(stage: Path, found: RemoteBundle, status: Status | None) -> None:
    """Bring every file into `stage`; what an earlier, killed pull left there is used."""
    sizes = _sizes(found)
    total, here = sum(sizes.values()), 0
    if total > _MAX_BUNDLE:
        raise BundleError(f"{found.address}: {total / 1e9:,.0f} GB, too large for a bundle")
    lacking = total - sum(path.stat().st_size for path in stage.rglob("*") if path.is_file())
    if lacking > (free := shutil.disk_usage(stage).free):
        raise BundleError(
            f"{found.address}: needs {lacking / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free in"
            f" {stage.parent}",
            hint="free some space (`sqsd-lint bundle prune`), or name another cache with --cache-dir",
        )
    for name, sha in found.manifest.files.items():
        report = _progress_of(found.address.url, name, here, total, status)
        try:
            _bring(found.remote, name, sha, stage, report, min(MAX_FILE, _MAX_BUNDLE - here))
        except TooLargeError:
            empty(stage)  # it would never be whole
            raise
        here += (stage / name).stat().st_size  # a store may have said less, or nothing
    (stage / MANIFEST).write_bytes(found.text)


def _sizes(found: RemoteBundle) -> dict[str, int]:
    sizes = {}
    with reaching(found.address):
        for name in found.manifest.files:
            size = found.remote.size(name)
            if size is not None and size > MAX_FILE:
                raise BundleError(f"{found.address}: {name} has {size:,} bytes, too many for a bundle")
            sizes[name] = size or 0
    return sizes


def _bring(
    remote: Remote, name: str, sha: str, stage: Path, report: Callable[[int], None], limit: int
) -> None:
    path = stage / name
    part = path.with_name(f".{path.name}.part")
    if path.is_file() and sha256_file(path) == sha:
        return
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    # What a killed pull left may be damaged itself: then once more, from the start.
    for attempt in range(2 if part.exists() else 1):
        if attempt:
            part.unlink()
        with reaching(remote.address):
            for size in remote.copy(name, part, limit):
                report(size)
        part.touch()  # an empty file has no blocks
        if sha256_file(part) == sha:
            part.replace(path)
            return
    part.unlink()
    raise BundleCorruptError(
        f"{remote.address}: {name} is not the file that its manifest names (its SHA-256 differs)",
        hint="nothing of it is in use; ask whoever published the bundle to push it again",
    )


def _check(stage: Path, found: RemoteBundle) -> None:
    """Check all that `bundle verify` checks, before anybody can see the bundle."""
    wrong = verify(stage)
    if wrong:
        empty(stage)
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise BundleCorruptError(
            f"{found.address}: {wrong[0].where}: {wrong[0].message}{more}",
            hint="nothing was kept of it; ask whoever published the bundle to push it again",
        )


def _progress_of(
    url: str, name: str, before: int, total: int, status: Status | None
) -> Callable[[int], None]:
    last = [-_TOLD_EVERY]

    def report(size: int) -> None:
        if status and abs(size - last[0]) >= _TOLD_EVERY:
            last[0] = size
            status(f"pulling {url}: {name}, {(before + size) / 1e6:,.0f} of {total / 1e6:,.0f} MB")

    return report
