"""Whether a search would find a path, answered for one path at a time.

The data files below a folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from sqsd_lint.discover.default_excludes import (
    VENV_MARK,
    is_not_data,
    is_quarantine,
    is_tool_folder,
    suffix_of,
)
from sqsd_lint.discover.ignore import ON_DISK, Exclude, Ignore, IgnoreFiles
from sqsd_lint.types import Problem, Where


class Quarantine(NamedTuple):
    """A file of rows taken out, which a search passes by, but not in silence."""

    path: str


def unreadable(path: str, message: str, hint: str) -> Problem:
    """SQSD304 for a path that cannot be looked at."""
    return Problem("SQSD304", Where(path, 0, -1), message, hint, rows=0)


def walk(folder: str, exclude: Exclude, files: IgnoreFiles = ON_DISK) -> Iterator[str | Quarantine | Problem]:
    """Yield the data files below `folder`, the same order on every machine, files before folders.

    Symbolic links to folders are not followed, so no loop is possible. A link to a data file counts when the
    file lies inside `folder`; when it does not, or is broken, an SQSD304 says so.
    """
    top = os.path.abspath(folder)
    above = Ignore.above(top, files)
    if above and above.matches(top, is_folder=True):
        above = None  # a folder that the user named is wanted, whatever the folders above think of it
    yield from _Walk(os.path.realpath(top), exclude, files).below(folder, top, above)


def is_known(name: str, is_folder: bool) -> bool:
    """Whether the name is worth a look: a folder that is no tool's, or a file of data."""
    if is_folder:
        return not is_tool_folder(name)
    return bool(suffix_of(name)) and not is_not_data(name)


class _Walk:
    def __init__(self, inside: str, exclude: Exclude, files: IgnoreFiles) -> None:
        self._inside = os.path.join(inside, "")
        self._exclude = exclude
        self._files = files

    def below(self, top: str, absolute: str, ignore: Ignore | None) -> Iterator[str | Quarantine | Problem]:
        # A stack of its own: folders may nest deeper than Python recurses.
        stack = [(top, absolute, ignore)]
        while stack:
            shown, folder, ignore = stack.pop()
            try:
                with os.scandir(folder) as scan:
                    entries = sorted(scan, key=lambda entry: os.fsencode(entry.name))
                ignore = Ignore.of(folder, ignore, self._files)
            except OSError as error:
                yield unreadable(shown, f"cannot be looked into: {error.strerror}", "check its permissions")
                continue
            if folder != absolute and any(entry.name == VENV_MARK for entry in entries):
                continue
            folders: list[tuple[str, str, Ignore | None]] = []
            for entry in entries:
                path = entry.name if shown == os.curdir else os.path.join(shown, entry.name)
                is_folder = entry.is_dir(follow_symlinks=False)
                passed_by = not is_folder and is_quarantine(entry.name)
                if not (passed_by or is_known(entry.name, is_folder)):
                    continue
                if self._left_out(entry.path, ignore, is_folder):
                    continue
                if passed_by:
                    yield Quarantine(path)
                elif is_folder:
                    folders.append((path, entry.path, ignore))
                else:
                    yield from self._file(path, entry)
            stack.extend(reversed(folders))

    def _left_out(self, path: str, ignore: Ignore | None, is_folder: bool) -> bool:
        if self._exclude.matches(path, is_folder=is_folder):
            return True
        return ignore is not None and ignore.matches(path, is_folder=is_folder)

    def _file(self, path: str, entry: os.DirEntry[str]) -> Iterator[str | Problem]:
        if entry.is_symlink():
            if not os.path.exists(entry.path):
                yield unreadable(path, "a symbolic link to nothing", "remove or repair the link")
                return
            if os.path.isdir(entry.path):
                return
            if not os.path.realpath(entry.path).startswith(self._inside):
                hint = "name the file itself to have it read"
                yield unreadable(path, "a symbolic link to a file outside of the folder", hint)
                return
        yield path


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
