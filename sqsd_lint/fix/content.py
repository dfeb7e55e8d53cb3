"""A data file's content as a byte stream, and the way back into the file's compression."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from sqsd_lint.read import DEFAULT_LIMITS
from sqsd_lint.read.formats import format_of
from sqsd_lint.read.source import Source, open_source

BOM = b"\xef\xbb\xbf"

Opener = Callable[[], AbstractContextManager[Source]]
"""Opens a text file's content from its start, decompressed, behind the byte order mark."""


class ByteSink(Protocol):
    """Where content goes."""

    def write(self, data: bytes, /) -> object: ...

    def close(self) -> object: ...


def opener(file: str, *, name: str | None = None) -> Opener:
    """Return how to open `file` in the format of its name.

    Args:
        name: in place of the name, that of the file of which `file` is a copy.

    Raises on opening:
        Unreadable, OSError: as `open_source`.
    """
    form = format_of(name or file)
    return lambda: open_source(file, DEFAULT_LIMITS, form=form)


def packed(file: BinaryIO, compression: str) -> ByteSink:
    """Return a stream whose bytes go to `file` compressed, always the same ones; `file` stays open.

    Args:
        compression: "", "gz", "zst", "xz" or "bz2".
    """
    if compression == "gz":
        # Neither name nor time: they say nothing about the rows, and the time would change every run.
        return gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0)
    if compression == "zst":
        import zstandard

        writer: ByteSink = zstandard.ZstdCompressor(write_checksum=True).stream_writer(file, closefd=False)
        return writer
    if compression == "xz":
        import lzma

        return lzma.LZMAFile(file, "wb")
    if compression == "bz2":
        import bz2

        return bz2.BZ2File(file, "wb")
    return _Plain(file.write)


class _Plain:
    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write

    def close(self) -> None:
        """Leave open what is written to: it is the caller's."""


NOWHERE: ByteSink = _Plain(len)
"""Takes everything and keeps nothing."""
