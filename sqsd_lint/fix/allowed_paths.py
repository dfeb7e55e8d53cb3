"""Which files `--fix` may touch: regular ones in the working folder, under their own name.

Paths may come from a configuration that somebody else wrote, and links from a repository that somebody else
filled. So nothing is changed through a link, and nothing outside of the folder in which the user stands.

Where the rows of a file go.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from sqsd_lint.discover import suffix_of
from sqsd_lint.discover.default_excludes import QUARANTINE_MARK
from sqsd_lint.errors import UsageError


def quarantine_of(path: str) -> str:
    """Return the quarantine file of a data file: "a/train.jsonl.gz" -> "a/train.quarantine.jsonl.gz".

    Raises:
        ValueError: the name ends in no known suffix.
    """
    folder, name = os.path.split(path)
    suffix = suffix_of(name)
    if not suffix:
        raise ValueError(f"no data file: {path}")
    stem, ending = name[: -len(suffix)], name[-len(suffix) :]
    return os.path.join(folder, f"{stem}{QUARANTINE_MARK}{ending}")


_STDIN = ("-", "<stdin>")


def refuse_stdin(paths: Sequence[str]) -> None:
    """Say before any work is done that standard input cannot be fixed.

    Raises:
        UsageError: it is among the paths.
    """
    if any(path in _STDIN for path in paths):
        raise UsageError("standard input cannot be fixed", hint="save it to a file, and name the file")


def checked_places(file: str) -> str:
    """Return the quarantine file of a file, after a look at both.

    Raises:
        UsageError: one of the two may not be changed.
        FileNotFoundError: the file is gone.
    """
    refuse_stdin((file,))
    quarantine = quarantine_of(file)
    _refuse_outside(file)
    for path in (file, quarantine):
        if path == quarantine and not os.path.lexists(path):
            continue
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            raise UsageError(
                f"{path}: a symbolic link, which is not fixed", hint="name the file that it leads to"
            )
        if not stat.S_ISREG(mode):
            raise UsageError(f"{path}: not a regular file", hint="move it away")
        if not mode & 0o222 or not os.access(path, os.W_OK):  # root may write what nobody should
            raise UsageError(f"{path}: read-only", hint="make it writable, if it may be changed")
    folder = os.path.dirname(file) or os.curdir
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"{folder}: no file can be written there", hint="make the folder writable: files are replaced"
        )
    return quarantine


def _refuse_outside(file: str) -> None:
    real, here = os.path.realpath(file), os.path.realpath(os.curdir)
    if os.path.islink(file) or os.path.commonpath([real, here]) == here:
        return  # a link is refused for what it is
    raise UsageError(
        f"{file}: lies outside of the working folder, in {os.path.dirname(real)}",
        hint="run sqsd-lint in the folder that holds it",
    )
