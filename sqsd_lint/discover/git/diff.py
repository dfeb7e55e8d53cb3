"""The answers of `git diff-index`, `diff-files` and `diff-tree` with --raw -z: one entry a changed path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

FORMAT = (
    "--raw",
    "-z",
    "--no-abbrev",
    "--no-ext-diff",
    "--no-textconv",
    "--no-relative",
    "--ignore-submodules=dirty",
)

LINK = "120000"
SUBMODULE = "160000"
_FILES = ("100644", "100755")


@dataclass(frozen=True, slots=True)
class DiffEntry:
    """A path that changed.

    Attributes:
        path: from the top of the repository, with slashes.
        status: A(dded), D(eleted), M(odified), R(enamed), T(ype changed), U(nmerged) or C(opied).
        mode, blob: of the new version; the blob is "" where git has not stored it.
        old_path, old_mode, old_blob: of the old version; the blob is "" where there is none.
    """

    path: str
    status: str
    mode: str
    blob: str
    old_path: str
    old_mode: str
    old_blob: str

    @property
    def old_file(self) -> str:
        """The blob of the old version, "" where that was no regular file."""
        return self.old_blob if self.old_mode in _FILES else ""


def entries(items: Iterable[str]) -> Iterator[DiffEntry]:
    """Yield the entries of an answer that was split at NUL."""
    rest = iter(items)
    for head in rest:
        old_mode, mode, old_blob, blob, status = head.lstrip(":").split(" ")
        old_path = next(rest)
        path = next(rest) if status[0] in "RC" else old_path
        yield DiffEntry(path, status[0], mode, _known(blob), old_path, old_mode, _known(old_blob))


def _known(blob: str) -> str:
    return blob if blob.strip("0") else ""
