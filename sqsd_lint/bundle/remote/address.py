"""Where a bundle is fetched from: `hf://org/name[@revision]`, or the URL of a store that fsspec reaches."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from sqsd_lint.errors import UsageError

HUB = "hf"
# Plain stores only. fsspec also knows file systems that unpack, cache or follow references out of others
# (`zip::`, `simplecache::`, `reference://`); a configuration may come from a stranger and needs none of them.
_CLOUDS = ("abfs", "abfss", "adl", "az", "gcs", "gs", "oci", "oss", "s3", "s3a")
STORES = frozenset((*_CLOUDS, "file", "hdfs", "https", "local", "memory", "smb", "webhdfs"))
FORMS = "write hf://org/name@revision, or a URL such as s3://bucket/path, gs://bucket/path or file:///path"

_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_HUB = re.compile(rf"hf://(?P<name>{_WORD}/{_WORD})(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]{{0,199}}))?\Z")
_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9]*)://(?P<rest>.+)\Z")
_PASSWORD = re.compile(r"[^/]*:[^/]*@")


@dataclass(frozen=True, slots=True)
class Address:
    """A place that a bundle is fetched from.

    Attributes:
        url: without the revision: "hf://org/name", "s3://bucket/path".
        revision: a branch, tag or commit; always None for a store, which keeps no history.
    """

    url: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.url}@{self.revision}" if self.revision else self.url

    @property
    def on_hub(self) -> bool:
        return self.url.startswith(f"{HUB}://")

    @property
    def repository(self) -> str:
        """The Hub's name of the repository, "org/name"."""
        return self.url.removeprefix(f"{HUB}://")

    def at(self, revision: str | None) -> Address:
        """Return the same place at another revision, if it has revisions."""
        return replace(self, revision=revision) if self.on_hub else self


def is_remote(reference: str) -> bool:
    """Tell whether a `--bundle` names a place to fetch from, not a folder or a cached id."""
    return "://" in reference


def parse(reference: str) -> Address:
    """Return the place that a reference names.

    Raises:
        UsageError: no such form, an unknown kind of store, or a password in it.
    """
    if reference.startswith(f"{HUB}://"):
        match = _HUB.match(reference)
        if not match or ".." in reference:
            raise UsageError(f"{reference!a} is no repository on the Hub", hint=FORMS)
        return Address(f"{HUB}://{match['name']}", match["revision"])
    match = _URL.match(reference)
    if not match or not reference.isprintable() or "::" in reference:
        raise UsageError(f"{reference!a} is no place that a bundle can be fetched from", hint=FORMS)
    if match["scheme"] not in STORES:
        known = ", ".join(f"{name}://" for name in sorted({HUB, *STORES}))
        raise UsageError(f"{reference!a}: no bundle is fetched by {match['scheme']}://", hint=f"use {known}")
    if _PASSWORD.match(match["rest"]):
        # It would end in the lock, in messages and in the log of every run.
        raise UsageError(
            f"{match['scheme']}://...: a password in the address of a bundle",
            hint="give credentials as the store's own client takes them: its environment variables or files",
        )
    return Address(reference.rstrip("/"))


def folder_of(reference: str) -> str | None:
    """Return the folder on this machine that a reference reads, None if it is not on this machine."""
    for scheme in ("file://", "local://"):
        if reference.startswith(scheme):
            return reference.removeprefix(scheme)
    return None if is_remote(reference) else reference
