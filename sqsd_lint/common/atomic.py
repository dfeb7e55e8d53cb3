"""Replacing a file as a whole: whenever the machine stops, the old file is there or the new one.

The new file is written beside the old one under a hidden name that no search takes for data, forced to disk
and then renamed. What a kill leaves behind is at most such a `.NAME.*.tmp`.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a file from any later state of itself."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


def identity_of(path: str) -> Identity | None:
    """The identity of the regular file at `path`, None where there is nothing.

    Raises:
        OSError: something else is there: a link, a folder, a device.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "a link or no regular file", path)
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class Replacement:
    """A new content for `path`, in place only after `put`; a context manager that clears up after itself.

    Args:
        path: the file to replace or create.
        like: the file whose mode, owner and extended attributes the new one takes over.
    """

    def __init__(self, path: str, *, like: str) -> None:
        self._path = path
        self._like = like
        self._folder, name = os.path.split(os.path.abspath(path))
        # A name of full length leaves no room; the start of it says enough.
        descriptor, self.temporary = tempfile.mkstemp(
            dir=self._folder, prefix=f".{_start(name)}.", suffix=".tmp"
        )
        self.file: BinaryIO = os.fdopen(descriptor, "wb")

    def __enter__(self) -> Replacement:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.file.close()
        finally:
            if os.path.lexists(self.temporary):
                os.unlink(self.temporary)

    def seal(self) -> None:
        """Force the content and its permissions to disk.

        Raises:
            OSError: the disk is full, or the owner cannot be kept.
        """
        self.file.flush()
        old, new = os.stat(self._like), os.fstat(self.file.fileno())
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            try:
                os.fchown(self.file.fileno(), old.st_uid, old.st_gid)
            except PermissionError as error:
                raise PermissionError(error.errno, "the owner of the file cannot be kept") from error
        shutil.copystat(self._like, self.temporary)
        os.utime(self.temporary)  # the mode is kept, not the time: the content is new
        os.fsync(self.file.fileno())
        self.file.close()

    def put(self) -> None:
        """Rename the sealed file over the old one."""
        os.replace(self.temporary, self._path)
        # Some network file systems force no folder to disk; the file is in place all the same.
        with suppress(OSError):
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _start(name: str) -> str:
    return os.fsdecode(os.fsencode(name)[:100])
