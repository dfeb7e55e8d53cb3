"""`sqsd-lint.lock`: which bundle judges data for which base model, the same for hook, CI and laptop.

JSON, since a machine writes it: one call reads it, and equal locks are equal files. It comes with a
repository and is as untrusted as any file there; `rules/schemas/lock.schema.json` describes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqsd_lint.bundle.remote import address as sources
from sqsd_lint.common.fields import FieldError, Fields, hex64, mapping, name, optional, text
from sqsd_lint.common.json_io import write_json
from sqsd_lint.config import Settings
from sqsd_lint.errors import ConfigError, UsageError

EMBEDDED = "embedded:default"
_VERSION = 1
_MAX_BYTES = 1 << 20
_REMAKE = "restore it, or delete it, run `sqsd-lint lock` and commit what that writes"


@dataclass(frozen=True, slots=True)
class Locked:
    """One locked bundle.

    Attributes:
        id: the bundle's name.
        source: as the configuration has it: an address, a folder relative to the lock, or EMBEDDED.
        revision: the commit on the Hub; None elsewhere.
        digest: of the bundle. Only this decides whether a bundle is the locked one.
    """

    id: str
    source: str
    revision: str | None
    digest: str

    @property
    def remote(self) -> bool:
        return sources.is_remote(self.source)


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
        """The folder of a bundle whose source is one, as it is reached from the working folder."""
        return os.path.normpath(os.path.join(os.path.dirname(self.path), locked.source))

    def write(self) -> None:
        """Write the file, whole or not at all; one that says the same already is left alone.

        Raises:
            UsageError: it cannot be written.
        """
        document = {"version": _VERSION, "bundles": {k: asdict(v) for k, v in sorted(self.bundles.items())}}
        try:
            write_json(Path(self.path), document)
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be written: {error.strerror}") from error


def read_lock(settings: Settings) -> Lock | None:
    """The lock that is in force; with `settings.policy_ref`, as that commit has it, like all of the policy.

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
    """The lock in a file's bytes.

    Raises:
        ConfigError: it does not hold; a lock that cannot be understood locks nothing.
    """
    shown = shown or path
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{shown}: larger than {_MAX_BYTES:,} bytes, too large for a lock", hint=_REMAKE)
    try:
        raw = json.loads(data.decode("utf-8"))
        return Lock(path, _bundles(raw))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{shown}: not a valid lock: {error}", hint=_REMAKE) from None


def _bundles(raw: Any) -> dict[str, Locked]:
    top = Fields(raw, "")
    version = top.take("version", lambda value, path: value)
    if version != _VERSION or isinstance(version, bool):
        raise FieldError(f"version: only {_VERSION} is known; a newer sqsd-lint may read it")
    found = {key: _locked(value, f"bundles.{key}") for key, value in top.take("bundles", mapping).items()}
    top.done()
    return found


def _locked(value: Any, path: str) -> Locked:
    top = Fields(value, path)
    found = Locked(
        top.take("id", name),
        top.take("source", text),
        top.take("revision", optional(text)),
        top.take("digest", hex64),
    )
    top.done()
    return found


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
