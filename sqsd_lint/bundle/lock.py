"""`sqsd-lint.lock`: which bundle judges data for which base model, the same for hook, CI and laptop.

JSON, since a machine writes it: one call reads it, and equal locks are equal files. It comes with a
repository and is as untrusted as any file there; `rules/schemas/lock.schema.json` is made from its models.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from sqsd_lint.bundle.remote.address import is_remote
from sqsd_lint.common.formats import JsonModel, Name, Sha256, check_version, read_as
from sqsd_lint.common.json_io import write_json
from sqsd_lint.common.strict_json import decode
from sqsd_lint.config import Settings
from sqsd_lint.errors import ConfigError, UsageError

EMBEDDED = "embedded:default"
_VERSION = 1
_MAX_BYTES = 1 << 20
_REMAKE = "restore it, or delete it, run `sqsd-lint lock` and commit what that writes"


class Locked(JsonModel, frozen=True):
    """One locked bundle.

    Attributes:
        id: the bundle's own name.
        source: where it comes from, as the configuration says it: an address, a folder relative to this file,
            or embedded:default.
        revision: the commit on the Hub that the branch or tag named when the lock was written; null
            elsewhere.
        digest: of the bundle: SHA-256 of its manifest, which has the SHA-256 of every file. Only this decides
            whether a bundle is the locked one.
        screen: digest of the bundle's screen, which decides whether `--screen` may use it; absent where the
            bundle had none.
    """

    id: Name
    source: Annotated[
        str,
        Meta(min_length=1, examples=["hf://org/name@v1", "s3://bucket/path", "bundles/mine", EMBEDDED]),
    ]
    revision: str | None
    digest: Sha256
    screen: Sha256 | None = None

    @property
    def remote(self) -> bool:
        return is_remote(self.source)


class LockFile(JsonModel, frozen=True, tag_field="version", tag=_VERSION):
    """The content of sqsd-lint.lock: the one bundle that judges data for each base model.

    A run whose bundle has another digest is refused.

    Attributes:
        bundles: by base model: a Hub id, or the last name of its folder.
    """

    bundles: Mapping[str, Locked]


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file.

    Attributes:
        path: where it lies in the work tree; folders among the sources are relative to its folder.
        bundles: by base model.
    """

    path: str
    bundles: Mapping[str, Locked]

    def folder(self, locked: Locked) -> str:
        """Return the folder of a bundle whose source is one, as it is reached from the working folder."""
        return os.path.normpath(os.path.join(os.path.dirname(self.path), locked.source))

    def write(self) -> None:
        """Write the file, whole or not at all; one that says the same already is left alone.

        Raises:
            UsageError: it cannot be written.
        """
        document = LockFile(dict(sorted(self.bundles.items())))
        try:
            write_json(Path(self.path), document.to_json())
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be written: {error.strerror}") from error


def read_lock(settings: Settings) -> Lock | None:
    """Return the lock that is in force; with `settings.policy_ref`, as that commit has it, like all policy.

    Returns:
        None where there is none: any bundle may judge.

    Raises:
        ConfigError: it cannot be read, or does not hold.
    """
    path = settings.lock
    if path is None:
        return None
    if settings.policy_ref is None:
        return parse_lock(data, path) if (data := _read(path)) is not None else None
    from contextlib import closing

    from sqsd_lint.discover.git.policy_ref import PolicyRef

    with closing(PolicyRef(settings.policy_ref)) as policy:
        there = policy.read(path)
        return None if there is None else parse_lock(there, path, shown=f"{path} at {policy.label}")


def parse_lock(data: bytes, path: str, *, shown: str | None = None) -> Lock:
    """Return the lock in a file's bytes.

    Raises:
        ConfigError: it does not hold; a lock that cannot be understood locks nothing.
    """
    shown = shown or path
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{shown}: larger than {_MAX_BYTES:,} bytes, too large for a lock", hint=_REMAKE)
    try:
        raw = decode(data)
        check_version(raw, "version", _VERSION)
        return Lock(path, read_as(LockFile, raw).bundles)
    except ValueError as error:
        raise ConfigError(f"{shown}: not a valid lock: {error}", hint=_REMAKE) from None


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
