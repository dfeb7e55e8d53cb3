"""File names as code hosts want them: relative to the root of the repository, with forward slashes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqsd_lint.common.escape import well_formed

STDIN = "<stdin>"


@dataclass(frozen=True)
class Root:
    """The folder that shown paths start from.

    Attributes:
        folder: the repository's root; the working directory where there is no repository.
        cwd: the working directory, which relative names start from.
    """

    folder: Path
    cwd: Path

    def path(self, file: str) -> str:
        """Return the file's path below the root; an absolute path where it lies elsewhere.

        Symbolic links are not followed: the name in the repository is the one to show.
        """
        if file == STDIN:
            return file
        absolute = Path(os.path.normpath(self.cwd / file))
        if absolute.is_relative_to(self.folder):
            return absolute.relative_to(self.folder).as_posix()
        return absolute.as_posix()

    def uri(self, file: str) -> str:
        """Return the same as a percent-encoded URI reference (RFC 3986): relative, or `file:///...`.

        A byte of a name that is no UTF-8 becomes U+FFFD: browsers' decodeURIComponent ends at another.
        """
        path = self.path(file)
        encoded = quote(well_formed(path), safe="/-._~")
        return f"file://{encoded}" if path.startswith("/") else encoded


def find_root() -> Root:
    """Look for a `.git` (a folder, or a file in worktrees and submodules) from here upwards."""
    cwd = Path.cwd()
    for folder in (cwd, *cwd.parents):
        if (folder / ".git").exists():
            return Root(folder, cwd)
    return Root(cwd, cwd)
