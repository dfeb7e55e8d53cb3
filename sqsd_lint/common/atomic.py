"""Replacing a file as a whole: whenever the machine stops, the old file is there or the new one.

The new file is written beside the old one under a hidden name that no search takes for data, then renamed: a
kill leaves behind such a `.NAME.*.tmp` at most. `write_whole` and `replacing` are for files that can be made
again; `Replacement` is for those that cannot: it forces the content to disk first, and keeps the owner.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO


def write_whole(path: Path, content: str | bytes, *, mode: int = 0o644) -> None:
    """Write a file whole or not at all; a text is written as UTF-8, its line breaks as they are."""
    with replacing(path, mode=mode) as new:
        new.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """Yield a path to write to, renamed to `path` at the end; after an error `path` is what it was before.

    Args:
        mode: of the new file; None as the process's mask has it.
    """
    descriptor, name = _new_file_in_folder_of(os.fspath(path))
    os.close(descriptor)
    new = Path(name)
    try:
        yield new
        new.chmod(0o666 & ~_umask() if mode is None else mode)
        new.replace(path)
    finally:
        with suppress(FileNotFoundError):
            new.unlink()


@dataclass(frozen=True, slots=True)
class Identity:
    """What distinguishes a file from any later state of itself."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


def identity_of(path: str) -> Identity | None:
    """Return the identity of the regular file at `path`, None where there is nothing.

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
        self._folder = os.path.dirname(os.path.abspath(path))
        descriptor, self.temporary = _new_file_in_folder_of(path)
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


def _new_file_in_folder_of(path: str) -> tuple[int, str]:
    """Return the open descriptor and the path of a new, hidden file in the folder of `path`."""
    folder, name = os.path.split(os.path.abspath(path))
    # A name of full length leaves no room; the start of it says enough.
    start = os.fsdecode(os.fsencode(name)[:100])
    return tempfile.mkstemp(dir=folder, prefix=f".{start}.", suffix=".tmp")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
