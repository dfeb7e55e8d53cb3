"""Whether a search would find a path, answered for one path at a time."""

from __future__ import annotations

import os

from sqsd_lint.discover.ignore import Exclude, Ignore, IgnoreFiles
from sqsd_lint.discover.skip import is_quarantine
from sqsd_lint.discover.walk import is_known


class Wanted:
    """The rules of `discover.walk` for paths that another source has listed.

    Args:
        root: what paths start from, "" for the trees of a bare repository.
    """

    def __init__(self, root: str, exclude: Exclude, files: IgnoreFiles) -> None:
        self._root = root
        self.exclude = exclude
        self._files = files
        self._ignores: dict[str, Ignore | None] = {}

    def found(self, path: str, below: str = "") -> bool:
        """Whether a search of the folder `below` finds the file at `path`; both with slashes."""
        return is_known(os.path.basename(path), is_folder=False) and self._reached(path, below)

    def quarantine(self, path: str, below: str = "") -> bool:
        """Whether a search of the folder `below` passes the file at `path` by as a quarantine."""
        return is_quarantine(os.path.basename(path)) and self._reached(path, below)

    def _reached(self, path: str, below: str) -> bool:
        folders = path[len(below) :].strip("/").split("/")[:-1]
        if not all(is_known(folder, is_folder=True) for folder in folders):
            return False
        return not self.left_out(path)

    def left_out(self, path: str, *, is_folder: bool = False) -> bool:
        """Whether `exclude` or an ignore file speaks against a path."""
        absolute = os.path.join(self._root, path)
        if self.exclude.matches(absolute, is_folder=is_folder):
            return True
        ignore = self._ignore(os.path.dirname(path))
        return ignore is not None and ignore.matches(absolute, is_folder=is_folder)

    def _ignore(self, folder: str) -> Ignore | None:
        """What holds in a folder; each one's ignore files are read once."""
        ignore: Ignore | None = None
        names = folder.split("/") if folder else []
        for depth in range(len(names) + 1):
            inside = "/".join(names[:depth])
            if inside not in self._ignores:
                self._ignores[inside] = Ignore.of(os.path.join(self._root, inside), ignore, self._files)
            ignore = self._ignores[inside]
        return ignore
