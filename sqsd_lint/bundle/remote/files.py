"""A bundle's files behind any file system that fsspec reaches; the Hub's is one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqsd_lint.bundle.remote.address import Address
from sqsd_lint.errors import BundleError

# A bundle of a 70B model is a few GB. What is larger is no bundle, or is meant to fill the disk.
MAX_FILE = 16 << 30
_BLOCK = 16 << 20
_CHUNK = 1 << 20
# Seconds without a byte after which a web server counts as gone.
PATIENCE = 60
TRY_AGAIN = "check the name, your access and the network; the same command goes on where it stopped"


class TooLargeError(BundleError):
    """A file is larger than any that a bundle may have, or a bundle with it."""


@dataclass(frozen=True)
class Remote:
    """One bundle on a file system.

    Attributes:
        files: an fsspec file system.
        root: the bundle's folder on it.
        address: what the user named, with the commit in place of a branch or tag.
        sizes: bytes by file name, as far as they are known without asking.
    """

    address: Address
    files: Any
    root: str
    sizes: Mapping[str, int] = field(default_factory=dict)

    def read(self, name: str, limit: int) -> bytes:
        """Return a small file.

        Raises:
            BundleError: it is larger than `limit` bytes.
        """
        data = bytearray()
        with self.files.open(self._path(name), "rb") as stream:
            while block := stream.read(_CHUNK):  # a stream may give less than what is asked for
                data += block
                if len(data) > limit:
                    raise BundleError(f"{self.address}: {name} is larger than {limit >> 20} MiB")
        return bytes(data)

    def size(self, name: str) -> int | None:
        """Return bytes of a file, None where the store does not say."""
        if name in self.sizes:
            return self.sizes[name]
        found = self.files.size(self._path(name))
        return int(found) if found is not None else None

    def copy(self, name: str, part: Path, limit: int = MAX_FILE) -> Iterator[int]:
        """Append to `part` what it lacks of a file; yields its size after each block.

        A server that cannot give a part of a file gives it anew, from the start.

        Raises:
            TooLargeError: the file is larger than `limit` bytes, whatever its store said of it.
        """
        try:
            yield from self._append(name, part, limit, _BLOCK)
        except ValueError:
            if "https" not in self.files.protocol:
                raise
            part.unlink(missing_ok=True)  # fsspec's word for a server that knows no ranges
            yield from self._append(name, part, limit, 0)

    def _append(self, name: str, part: Path, limit: int, block_size: int) -> Iterator[int]:
        """Do what `copy` does; with a block size of 0 the file comes as one stream, which needs no ranges."""
        size = part.stat().st_size if part.exists() else 0
        with ExitStack() as stack:
            stream = stack.enter_context(self.files.open(self._path(name), "rb", block_size=block_size))
            with writing(part):
                out = stack.enter_context(part.open("ab"))
            if size:
                stream.seek(size)
            while block := stream.read(_CHUNK):
                size += len(block)
                if size > limit:
                    raise TooLargeError(
                        f"{self.address}: {name} is larger than {limit:,} bytes, all that a bundle may have"
                    )
                with writing(part):
                    out.write(block)
                    out.flush()
                yield size

    def put(self, source: Path, name: str) -> None:
        """Write a file, with the folders that it needs."""
        path = self._path(name)
        with suppress(Exception):  # object stores have no folders, and some say so by an error
            self.files.makedirs(self.files._parent(path), exist_ok=True)
        self.files.put_file(str(source), path)

    def remove(self, name: str) -> None:
        self.files.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what this machine says of its own files into an error: no store is to blame for it."""
    try:
        yield
    except OSError as error:
        raise BundleError(
            f"{error.filename or path}: cannot be written: {error.strerror or error}",
            hint="make room (`sqsd-lint bundle prune`) or allow it, or name another cache with --cache-dir;"
            " the same command goes on where it stopped",
        ) from error


def first_line(error: Exception) -> str:
    """Return what an error says, in one line of bounded length."""
    text = next((line for line in str(error).splitlines() if line.strip()), "") or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
