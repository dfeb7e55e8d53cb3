"""Whether a search would find a path, answered for one path at a time.

The data files below a folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from sqsd_lint.discover.default_excludes import is_tool_folder, looks_like_rows, may_hold_rows
from sqsd_lint.discover.git.repository import tracked_below
from sqsd_lint.discover.ignore import ON_DISK, OWN_FILE, Exclude, Ignore, IgnoreFiles
from sqsd_lint.discover.not_read import NotRead, PathKind, kind_of
from sqsd_lint.types import Problem, Where

# How many entries of a tool's folder are looked at for names of data: node_modules has no end.
_LOOKED_AT = 2_000


def unreadable(path: str, message: str, hint: str) -> Problem:
    """SQSD304 for a path that cannot be looked at."""
    return Problem("SQSD304", Where(path, 0, -1), message, hint, rows=0)


def walk(
    folder: str, exclude: Exclude, files: IgnoreFiles = ON_DISK, not_read: NotRead | None = None
) -> Iterator[str | Problem]:
    """Yield the data files below `folder`, the same order on every machine, files before folders.

    Symbolic links to folders are not followed, so no loop is possible. A link to a data file counts when the
    file lies inside `folder`; when it does not, or is broken, an SQSD304 says so. What .gitignore speaks
    against counts where git tracks it, since git does not ignore it either.

    Args:
        not_read: takes what is passed by.
    """
    top = os.path.abspath(folder)
    above = Ignore.above(top, files)
    if above and above.matches(top, is_folder=True):
        above = None  # a folder that the user named is wanted, whatever the folders above think of it
    yield from _Walk(top, exclude, files, not_read or NotRead()).below(folder, above)


class _Walk:
    def __init__(self, top: str, exclude: Exclude, files: IgnoreFiles, not_read: NotRead) -> None:
        self._top = top
        self._real = os.path.realpath(top)
        self._inside = os.path.join(self._real, "")
        self._exclude = exclude
        self._files = files
        self._not_read = not_read
        self._tracked = _Tracked(self._real, files)

    def below(self, top: str, ignore: Ignore | None) -> Iterator[str | Problem]:
        # A stack of its own: folders may nest deeper than Python recurses.
        stack = [(top, self._top, ignore)]
        while stack:
            shown, folder, ignore = stack.pop()
            try:
                with os.scandir(folder) as scan:
                    entries = sorted(scan, key=lambda entry: os.fsencode(entry.name))
                ignore = Ignore.of(folder, ignore, self._files)
            except OSError as error:
                yield unreadable(shown, f"cannot be looked into: {error.strerror}", "check its permissions")
                continue
            self._not_read.searched.add(self._real_of(folder))
            folders: list[tuple[str, str, Ignore | None]] = []
            for entry in entries:
                path = entry.name if shown == os.curdir else os.path.join(shown, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    if self._enters(path, entry, ignore):
                        folders.append((path, entry.path, ignore))
                else:
                    yield from self._file(path, entry, ignore)
            stack.extend(reversed(folders))

    def _enters(self, path: str, entry: os.DirEntry[str], ignore: Ignore | None) -> bool:
        tool = is_tool_folder(entry.name)
        if tool and not _may_hide_rows(entry.path):
            return False
        if self._left_out(entry.path, ignore, is_folder=True):
            self._pass_by(PathKind.IGNORED, path, entry)
            return False
        if tool:
            self._pass_by(PathKind.TOOLS, path, entry)
        return not tool

    def _file(self, path: str, entry: os.DirEntry[str], ignore: Ignore | None) -> Iterator[str | Problem]:
        kind = kind_of(entry.name)
        link = entry.is_symlink()
        if link and os.path.isdir(entry.path):
            kind = PathKind.LINK
        elif kind is PathKind.FORMAT and not may_hold_rows(entry.name):
            self._pass_by(kind, path, entry)
            return
        if self._left_out(entry.path, ignore):
            self._pass_by(PathKind.IGNORED, path, entry)
        elif kind is not None:
            self._pass_by(kind, path, entry)
        elif link and not os.path.exists(entry.path):
            yield unreadable(path, "a symbolic link to nothing", "remove or repair the link")
        elif link and not os.path.realpath(entry.path).startswith(self._inside):
            hint = "name the file itself to have it read"
            yield unreadable(path, "a symbolic link to a file outside of the folder", hint)
        else:
            yield path

    def _left_out(self, path: str, ignore: Ignore | None, is_folder: bool = False) -> bool:
        if self._exclude.matches(path, is_folder=is_folder):
            return True
        ignored = ignore is not None and ignore.matches(path, is_folder=is_folder)
        return ignored and not self._tracked.wanted(self._real_of(path), is_folder=is_folder)

    def _pass_by(self, kind: PathKind, path: str, entry: os.DirEntry[str]) -> None:
        real = os.path.realpath(entry.path) if entry.is_symlink() else self._real_of(entry.path)
        self._not_read.add(kind, path, real)

    def _real_of(self, path: str) -> str:
        """Return the real path of one below the top folder, on the way to which no link is followed."""
        return self._real + path[len(self._top) :]


def _may_hide_rows(folder: str) -> bool:
    """Whether a tool's folder has files with names of data, or is too large to tell."""
    if os.path.basename(folder) == ".git" and all(
        os.path.exists(os.path.join(folder, name)) for name in ("HEAD", "objects", "refs")
    ):
        return False  # git's own
    seen = 0
    for _, _, names in os.walk(folder):
        seen += len(names)
        if seen > _LOOKED_AT or any(map(looks_like_rows, names)):
            return True
    return False


class _Tracked:
    """What git tracks below a folder, asked when an ignore file first speaks against something there.

    Args:
        top: a real path.
    """

    def __init__(self, top: str, files: IgnoreFiles) -> None:
        self._top = top
        self._text = files.text
        self._wanted: SearchFilter | None = None
        self._root = ""
        self._files: frozenset[str] = frozenset()
        self._folders: frozenset[str] = frozenset()

    def wanted(self, path: str, *, is_folder: bool) -> bool:
        """Whether git tracks the real path, or something in it, and no ignore file of our own names it."""
        if self._wanted is None:
            self._root, self._files = tracked_below(self._top)
            self._folders = frozenset(
                name[:end] for name in self._files for end, char in enumerate(name) if char == "/"
            )
            self._wanted = SearchFilter(self._root, Exclude(()), IgnoreFiles((OWN_FILE,), self._text))
        if not self._files:
            return False
        inside = os.path.relpath(path, self._root).replace(os.sep, "/")
        known = self._folders if is_folder else self._files
        return inside in known and not self._wanted.left_out(inside, is_folder=is_folder)


class SearchFilter:
    """The rules of a walk for paths that another source has listed.

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
        return self.passed_by(path, below) is None

    def passed_by(self, path: str, below: str = "") -> PathKind | None:
        """Why a search of the folder `below` passes the file at `path` by, None if it finds it."""
        *folders, name = path[len(below) :].strip("/").split("/")
        if any(map(is_tool_folder, folders)):
            return PathKind.IN_TOOLS
        kind = kind_of(name)
        if kind is PathKind.FORMAT and not may_hold_rows(name):
            return kind
        return PathKind.IGNORED if self.left_out(path) else kind

    def left_out(self, path: str, *, is_folder: bool = False) -> bool:
        """Whether `exclude` or an ignore file speaks against a path."""
        absolute = os.path.join(self._root, path)
        if self.exclude.matches(absolute, is_folder=is_folder):
            return True
        ignore = self._ignore(os.path.dirname(path))
        return ignore is not None and ignore.matches(absolute, is_folder=is_folder)

    def _ignore(self, folder: str) -> Ignore | None:
        """Return what holds in a folder; each one's ignore files are read once."""
        ignore: Ignore | None = None
        names = folder.split("/") if folder else []
        for depth in range(len(names) + 1):
            inside = "/".join(names[:depth])
            if inside not in self._ignores:
                self._ignores[inside] = Ignore.of(os.path.join(self._root, inside), ignore, self._files)
            ignore = self._ignores[inside]
        return ignore
