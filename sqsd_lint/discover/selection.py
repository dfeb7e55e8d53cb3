"""Which files to lint, and which old version each is compared with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqsd_lint.discover.default_excludes import suffix_of
from sqsd_lint.discover.git.objects import Objects, fetched_content
from sqsd_lint.discover.not_read import NotRead
from sqsd_lint.types import Problem

EXCLUDED = ("named path is excluded", "named paths are excluded")


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file to lint.

    Attributes:
        name: its path as reports show it.
        blob: the object to read in its place, "" for the file itself.
        old: the object that holds its old version, "" where there is none: then every row is new.
    """

    name: str
    blob: str = ""
    old: str = ""


class Versions:
    """Versions of files that a repository keeps, as files to read."""

    def __init__(self, common_dir: str) -> None:
        self._common_dir = common_dir
        self.objects = Objects()

    @contextmanager
    def open(self, blob: str, name: str, limit: int) -> Iterator[str]:
        """Yield a file with the content of a version of `name`; of a pointer of Git LFS, what it stands for.

        Args:
            limit: the most bytes to copy; a larger object becomes a hollow file of its size.

        Raises:
            NotInRepositoryError: the object is not here.
        """
        with self.objects.file(blob, suffix_of(name), limit) as path:
            yield fetched_content(path, self._common_dir) or path

    def close(self) -> None:
        """Remove the copies."""
        self.objects.close()


@dataclass(slots=True)
class Selection:
    """What to lint.

    Attributes:
        problems: an SQSD304 for every path that cannot be linted.
        notes: what was left out of what was named, in words; the coverage line shows them.
        not_read: what a search passed by.
        comparison: what rows are compared with, in words; "" where every row is judged.
        versions: what `blob` and `old` of the files are read from.
    """

    files: list[DataFile] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    not_read: NotRead = field(default_factory=NotRead)
    comparison: str = ""
    versions: Versions | None = None

    @property
    def all_notes(self) -> tuple[str, ...]:
        """The notes, with those on `not_read`."""
        return (*self.notes, *self.not_read.notes)

    def close(self) -> None:
        """Remove what was copied out of the repository."""
        if self.versions is not None:
            self.versions.close()


def place(path: str, root: str) -> str | None:
    """Where a path lies below the real path `root`, with slashes, "" for `root` itself; None if outside.

    A symbolic link to a file is the link, not what it leads to.
    """
    if not root:  # a bare repository: its trees stand as if they were checked out where it lies
        root = os.path.realpath(os.getcwd())
    absolute = os.path.abspath(path)
    if os.path.islink(absolute) and not os.path.isdir(absolute):
        real = os.path.join(os.path.realpath(os.path.dirname(absolute)), os.path.basename(absolute))
    else:
        real = os.path.realpath(absolute)
    if real == root:
        return ""
    inside = real.removeprefix(os.path.join(root, ""))
    return None if inside == real else inside.replace(os.sep, "/")
