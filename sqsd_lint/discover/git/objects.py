"""What git keeps, as files to read: contents of blobs, from one `git cat-file` process.

Git takes an object's file at its word when it reads it: whoever can write into `.git/objects`, or into an
alternate, can put other content under a name. So everything is hashed again on the way.

Git LFS: a repository keeps a pointer to a large file, and its content beside, once it was fetched.
"""

from __future__ import annotations

import hashlib
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


_FORGED = "damaged: its content is not what its name is the digest of"


class Objects:
    """Read blobs by their digest, or as `COMMIT:path`, where links inside of the tree are followed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._trees: dict[str, dict[bytes, tuple[bytes, str]]] = {}  # name -> mode and digest, by digest

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
            NotInRepositoryError: there is no such blob, it is larger than `limit` bytes, or an object on the
                way to it is not what its name says.
        """
        commit, colon, path = name.partition(":")
        if colon:
            self._check_way(commit, path)
        digest, size = self._ask(name)
        if size > limit:
            self._stop()
            raise NotInRepositoryError(f"larger than {limit:,} bytes")
        content = self._take(size + 1)[:-1]
        if _hash(digest, "blob", size, content).hexdigest() != digest:
            raise NotInRepositoryError(_FORGED)
        return content

    def close(self) -> None:
        """End the process and removes the temporary files."""
        self._stop()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _copy(self, name: str, stream: IO[bytes], limit: int) -> None:
        digest, size = self._ask(name)
        if size > limit:
            self._stop()  # the only way not to read it
            stream.truncate(size)
            return
        seen = _hash(digest, "blob", size)
        while size:
            data = self._take(min(size, _CHUNK))
            seen.update(data)
            size -= stream.write(data)
        self._take(1)
        if seen.hexdigest() != digest:
            raise NotInRepositoryError(_FORGED)

    def _check_way(self, commit: str, path: str) -> None:
        """Check the commit and the trees that lead to a path; behind a link, what git says is believed.

        Raises:
            NotInRepositoryError: one of them is missing, or not what its name says.
        """
        if commit not in self._trees:
            first = self._checked(commit, "commit").partition(b"\n")[0]
            self._trees[commit] = {b"": (b"", first.removeprefix(b"tree ").decode("ascii", "replace"))}
        tree = self._trees[commit][b""][1]
        for part in os.fsencode(path).split(b"/"):
            if tree not in self._trees:
                self._trees[tree] = _entries(self._checked(tree, "tree"), len(tree) // 2)
            mode, tree = self._trees[tree].get(part, (b"", ""))
            if not mode.startswith(b"4"):  # a file, a link, a submodule, or nothing
                return

    def _checked(self, name: str, kind: str) -> bytes:
        digest, size = self._ask(name, kind)
        content = self._take(size + 1)[:-1]
        if _hash(digest, kind, size, content).hexdigest() != digest:
            raise NotInRepositoryError(f"behind a {kind} that is {_FORGED}")
        return content

    def _ask(self, name: str, kind: str = "blob") -> tuple[str, int]:
        """Return digest and size of an object, whose content and a line's end then wait in the pipe."""
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
        if words[1] != kind:
            self._take(int(words[2]) + 1)
            expected = "file" if kind == "blob" else kind
            raise NotInRepositoryError(f"a {words[1]}, where a {expected} was expected")
        return words[0], int(words[2])

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


def _hash(digest: str, kind: str, size: int, content: bytes = b"") -> hashlib._Hash:
    """Return the hash that git names an object by, begun: SHA-1, or SHA-256 where the name is as long."""
    begun = hashlib.new("sha1" if len(digest) == 40 else "sha256", usedforsecurity=False)
    begun.update(f"{kind} {size}".encode() + b"\0" + content)
    return begun


def _entries(tree: bytes, length: int) -> dict[bytes, tuple[bytes, str]]:
    """Return the entries of a tree by name: mode and digest, of so many bytes."""
    found: dict[bytes, tuple[bytes, str]] = {}
    at = 0
    while at < len(tree):
        end = tree.index(b"\0", at)
        mode, _, name = tree[at:end].partition(b" ")
        at = end + 1 + length
        found[name] = mode, tree[end + 1 : at].hex()
    return found
