"""Opening a bundle: its manifest, and every file checked against it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqsd_lint.bundle.manifest import MANIFEST, Manifest, digest_of_json, from_newer_json, load
from sqsd_lint.common.formats import FieldError
from sqsd_lint.common.json_io import sha256_file
from sqsd_lint.errors import BundleCorruptError, BundleNotFoundError

_REFETCH = "get or build the bundle again; `sqsd-lint bundle verify` lists everything that is wrong"


@dataclass(frozen=True, slots=True)
class BundleInfo:
    """What is known of a bundle without its weights: enough to judge scores that somebody else computed.

    Attributes:
        digest: identity in reports: scores and thresholds. scoring_digest: identity in score caches.
    """

    manifest: Manifest
    digest: str
    scoring_digest: str

    @classmethod
    def of(cls, manifest: Manifest) -> BundleInfo:
        """Return what a manifest says, its digests computed anew."""
        return cls(manifest, manifest.digest, manifest.scoring_digest)

    @classmethod
    def of_newer(cls, raw: Any) -> tuple[BundleInfo, tuple[str, ...]]:
        """Return what a manifest's JSON says that may be newer, and the paths of keys that are unknown here.

        The digest covers the unknown keys, too. The scoring digest does not: whoever scores by them has
        another one, and refuses to be asked by this one.

        Raises:
            FieldError: a field does not hold, or rows may be judged by an unknown key.
        """
        manifest, unknown = from_newer_json(raw)
        if not unknown:
            return cls.of(manifest), ()
        try:
            whole = digest_of_json(raw)
        except (ValueError, RecursionError):  # of the unknown keys nothing was checked
            raise FieldError("the manifest holds a number that is not finite, or goes too deep") from None
        return cls(manifest, whole, manifest.scoring_digest), unknown

    @property
    def id(self) -> str:
        return self.manifest.id


@dataclass(frozen=True, slots=True)
class Bundle(BundleInfo):
    """A bundle on disk whose files were checked."""

    root: Path

    def adapter_dir(self, name: str) -> Path:
        """Return the PEFT folder of one of `manifest.adapters`."""
        if name not in self.manifest.adapters:
            raise KeyError(name)
        return self.root / name


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle's manifest and check all of its files against it.

    Raises:
        BundleNotFoundError: there is no bundle in the folder.
        BundleCorruptError: the manifest or a file does not hold, or a file lies there that it does not name.
    """
    if not (folder / MANIFEST).is_file():
        raise BundleNotFoundError(
            f"{folder}: not a bundle, {MANIFEST} is missing",
            hint="name the folder that `sqsd-lint bundle build` or `bundle import` wrote",
        )
    manifest = load(folder)
    problems = file_problems(folder, manifest)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise BundleCorruptError(f"{folder}: {problems[0]}{more}", hint=_REFETCH)
    return Bundle(manifest, manifest.digest, manifest.scoring_digest, folder)


def file_problems(folder: Path, manifest: Manifest) -> list[str]:
    """Return what is wrong with a bundle's files: missing, changed, unnamed, or linked out of the folder."""
    problems = []
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif not path.resolve().is_relative_to(folder.resolve()):
            problems.append(f"{name} is a link that leaves the bundle")
        elif sha256_file(path) != expected:
            problems.append(f"{name} is not the file that the manifest names (its SHA-256 differs)")
    for directory, folders, files in os.walk(folder):
        # Hidden files (.gitattributes, a hub client's .cache) are read by nobody; neither is prose.
        folders[:] = [d for d in folders if not d.startswith(".")]
        inner = Path(directory).relative_to(folder)
        problems += [
            f"{(inner / d).as_posix()} is a link to a folder"
            for d in folders
            if (folder / inner / d).is_symlink()
        ]
        for file in files:
            name = (inner / file).as_posix()
            if not (
                file.startswith(".") or name.endswith(".md") or name == MANIFEST or name in manifest.files
            ):
                problems.append(f"{name} lies in the bundle but the manifest does not name it")
    return problems
