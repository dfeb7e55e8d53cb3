"""What git keeps, as files to read: contents of blobs, from one `git cat-file` process.

Git LFS: a repository keeps a pointer to a large file, and its content beside, once it was fetched.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from sqsd_lint.discover.git.repository import SAFE, environment

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:[^\n]*\n)*?oid sha256:([0-9a-f]{64})\n"
)
_MAX_POINTER = 1024  # as the specification of LFS has it


def fetched_content(path: str, common_dir: str) -> str | None:
    """Return where the content of a pointer was fetched to, None if it was not, or for any other file.

    Args:
        path: a file as the repository keeps it.
        common_dir: the folder `.git` of the repository, the main one's in a linked work tree.
    """
    if os.path.getsize(path) > _MAX_POINTER:
        return None
    with open(path, "rb") as stream:
        match = _POINTER.match(stream.read())
    if match is None:
        return None
    digest = match[1].decode("ascii")
    content = os.path.join(common_dir, "lfs", "objects", digest[:2], digest[2:4], digest)
    return content if os.path.isfile(content) else None


_CHUNK = 1 << 20
# What `cat-file --follow-symlinks` says of a name that leads to no object; a size and as much text follow.
_NO_OBJECT = ("symlink", "dangling", "loop", "notdir")


class NotInRepositoryError(Exception):
    """An object that is not here, or is no file; the message says which."""


class Objects:
    """Read blobs by their digest, or as `TREE:path`, where links inside of the tree are followed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @contextmanager
    def file(self, name: str, suffix: str, limit: int) -> Iterator[str]:
        """Yield a temporary file with the content of an object.

        Args:
            suffix: what its name ends in.
            limit: a larger object becomes a hollow file of its size, which readers refuse for that size.

        Raises:
            NotInRepositoryError: there is no such blob.
        """
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="sqsd-lint-")
        handle, path = tempfile.mkstemp(suffix=suffix, dir=self._folder.name)
        try:
            with os.fdopen(handle, "wb") as stream:
                self._copy(name, stream, limit)
            yield path
        finally:
            os.unlink(path)

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a small object.

        Raises:
            NotInRepositoryError: there is no such blob, or it is larger than `limit` bytes.
        """
        size = self._ask(name)
        if size > limit:
            self._stop()
            raise NotInRepositoryError(f"larger than {limit:,} bytes")
        return self._take(size + 1)[:-1]

    def close(self) -> None:
        """End the process and removes the temporary files."""
        self._stop()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _copy(self, name: str, stream: IO[bytes], limit: int) -> None:
        size = self._ask(name)
        if size > limit:
            self._stop()  # the only way not to read it
            stream.truncate(size)
            return
        while size:
            size -= stream.write(self._take(min(size, _CHUNK)))
        self._take(1)

    def _ask(self, name: str) -> int:
        """Return the size of an object, whose content and a line's end then wait in the pipe."""
        if "\n" in name:  # would be two questions
            raise NotInRepositoryError("a line break in its name")
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(os.fsencode(name) + b"\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        words = os.fsdecode(answer).split()
        if len(words) == 2 and words[0] in _NO_OBJECT:
            self._take(int(words[1]) + 1)
            raise NotInRepositoryError("a symbolic link to nothing in the repository")
        if len(words) != 3 or not words[2].isdecimal():
            raise NotInRepositoryError("not in the repository")
        if words[1] != "blob":
            self._take(int(words[2]) + 1)
            raise NotInRepositoryError(f"a {words[1]}, where a file was expected")
        return int(words[2])

    def _take(self, size: int) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        data = self._process.stdout.read(size)
        if len(data) < size:
            raise NotInRepositoryError("damaged: `git cat-file` stopped in the middle of it")
        return data

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [*SAFE, "cat-file", "--batch", "--follow-symlinks"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment(),
            )
        return self._process

    def _stop(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            assert process.stdin is not None
            assert process.stdout is not None
            process.kill()
            process.stdin.close()
            process.stdout.close()
            process.wait()
