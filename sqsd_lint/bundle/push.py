"""Pushing a bundle to the Hub or to a store, so that others can pull it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from sqsd_lint.bundle.card import card
from sqsd_lint.bundle.manifest import MANIFEST, Manifest
from sqsd_lint.bundle.manifest_json import from_json
from sqsd_lint.bundle.pull import Status
from sqsd_lint.bundle.remote import Remote, connect, reaching
from sqsd_lint.bundle.sources import Address
from sqsd_lint.bundle.store import Bundle
from sqsd_lint.bundle.verify import verify
from sqsd_lint.errors import BundleCorruptError, UsageError

_MAX_MANIFEST = 64 << 20


@dataclass(frozen=True, slots=True)
class Pushed:
    """A push that is done.

    Attributes:
        address: where the bundle is now, on the Hub with the commit that holds it.
    """

    address: Address
    digest: str


def push(
    bundle: Bundle,
    address: Address,
    *,
    private: bool = True,
    force: bool = False,
    message: str | None = None,
    status: Status | None = None,
) -> Pushed:
    """Write a bundle to an address; only the manifest and the files that it names go there, and a model card.

    Args:
        private: of a repository on the Hub that is made here; one that exists stays as it is.
        force: also over another bundle in a store, or into a repository that holds something else.
        message: of the commit on the Hub.
        status: told what is being written.

    Raises:
        BundleCorruptError: the bundle does not hold. BundleError: the address cannot be written.
        UsageError: something else is there.
    """
    if wrong := verify(bundle.root):
        raise BundleCorruptError(
            f"{bundle.root}: {wrong[0].where}: {wrong[0].message}",
            hint="`sqsd-lint bundle verify` lists everything that is wrong; nothing was pushed",
        )
    if status:
        status(f"pushing {bundle.id} to {address}")
    files = {name: bundle.root / name for name in (*bundle.manifest.files, MANIFEST)}
    if address.on_hub:
        from sqsd_lint.bundle.hub import push_hub

        with reaching(address, "written"):
            address = push_hub(
                address,
                files,
                card(bundle.manifest, address),
                private=private,
                force=force,
                message=message or f"{bundle.id}@{bundle.digest[:12]}",
            )
        return Pushed(address, bundle.digest)
    remote = connect(address)
    with reaching(address, "written"):
        _push_store(remote, bundle.digest, files, force=force, status=status)
    return Pushed(address, bundle.digest)


def _push_store(
    remote: Remote, digest: str, files: dict[str, Path], *, force: bool, status: Status | None
) -> None:
    """The manifest goes last: a pull meanwhile gets the old bundle, or is told of files that differ."""
    old = _there(remote)
    if old is not None and old.digest == digest:
        return
    if old is not None and not force:
        raise UsageError(
            f"{remote.address} holds the bundle {old.id}@{old.digest[:12]}; nothing was written",
            hint="write to a place of its own for each version, or replace it with --force",
        )
    for name, path in files.items():
        if status:
            status(f"writing {name}")
        remote.put(path, name)
    for name in set(old.files) - set(files) if old else ():
        remote.remove(name)


def _there(remote: Remote) -> Manifest | None:
    """The manifest of the bundle in a store; None if there is none."""
    try:
        return from_json(json.loads(remote.read(MANIFEST, _MAX_MANIFEST)))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        raise UsageError(
            f"{remote.address} holds a {MANIFEST} that is no manifest of a bundle; nothing was written",
            hint="name an empty place",
        ) from None
