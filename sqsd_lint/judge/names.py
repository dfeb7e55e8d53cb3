"""Names of data files that do not depend on where a run was started."""

from __future__ import annotations

import os


def name_in(folder: str, file: str) -> str:
    """A data file relative to a folder, with slashes; standard input and other drives keep their name.

    Args:
        folder: absolute.
        file: as `Where` names it, relative to the working folder.
    """
    if file.startswith("<"):
        return file
    path = os.path.abspath(file)
    try:
        return os.path.relpath(path, folder).replace(os.sep, "/")
    except ValueError:  # another drive on Windows
        return path.replace(os.sep, "/")
