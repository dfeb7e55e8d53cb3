"""Compressed files as plain byte streams that stop at a bomb instead of unfolding it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO, Protocol

from sqsd_lint.read.limits import KIB, MIB, Limits, in_words
from sqsd_lint.read.problems import Unreadable, missing_package, refuse_bomb

_BUFFER = 256 * KIB
# One 4-byte zstd block may unfold to 128 KiB, so what is fed at once bounds what comes back at once.
_ZSTD_FEED = 2 * KIB
_ZSTD_WINDOW = 2**27
# The first read is filled up to here even from a slow pipe: enough to recognise a format by its first bytes.
HEAD = 512

_SPLIT = "split the file into smaller ones"

MAGIC = {
    "gz": b"\x1f\x8b",
    "zst": b"\x28\xb5\x2f\xfd",
    "xz": b"\xfd7zXZ\x00",
    "bz2": b"BZh",
}

# What `xz -9` needs is 65 MiB; a header may ask for 4 GiB.
_XZ_MEMORY = 128 * MIB
_FEED = 64 * KIB


class Metered(io.RawIOBase):
    """A raw byte stream over `read` that counts what passes and calls `check` with the total."""

    def __init__(self, read: Callable[[int], bytes], check: Callable[[int], None]) -> None:
        self._read = read
        self._check = check
        self._total = 0
        self._late: Exception | None = None  # came after data that has to be delivered first

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        if self._late is not None:
            raise self._late
        data = self._read(len(buffer))
        if self._total == 0:
            data = self._fill_head(data, len(buffer))
        self._total += len(data)
        self._check(self._total)
        buffer[: len(data)] = data
        return len(data)

    def _fill_head(self, data: bytes, size: int) -> bytes:
        more = data
        while more and len(data) < min(HEAD, size):
            try:
                more = self._read(size - len(data))
            except Exception as error:
                self._late = error
                break
            data += more
        return data


class _Counted:
    """The compressed side: a binary stream that knows how many bytes were taken from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.count += len(data)
        return data


class _Zstd:
    """Streams zstd frames one after another, and notices a truncated one (the package's reader does not)."""

    def __init__(self, source: _Counted) -> None:
        try:
            import zstandard
        except ImportError as error:
            raise missing_package("zstandard", "a .zst file") from error
        self._error = zstandard.ZstdError
        self._new = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj
        self._frame = self._new()
        self._source = source
        self._rest = b""  # compressed bytes beyond the frame that ended
        self._out = memoryview(b"")

    def read(self, size: int) -> bytes:
        while not self._out:
            data = self._rest or self._source.read(_ZSTD_FEED)
            self._rest = b""
            if not data:
                if not self._frame.eof:
                    raise EOFError
                return b""
            if self._frame.eof:
                self._frame = self._new()
            try:
                self._out = memoryview(self._frame.decompress(data))
            except self._error as error:
                raise Unreadable(f"not a whole zstd file: {error}", hint="compress the file again") from error
            if self._frame.eof:
                self._rest = self._frame.unused_data
        data = bytes(self._out[:size])
        self._out = self._out[size:]
        return data


class _Decompressor(Protocol):
    """What the standard library's decompressors of bz2 and xz have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Streams:
    """Read streams of bz2 or xz one after another, never more at once than is asked for.

    The library's own file objects do the same, but hide how much a single block unfolds to: 45 bytes of bz2
    may be 46 MB.
    """

    def __init__(self, source: _Counted, kind: str) -> None:
        self._new, errors = _opener(kind)
        self._errors: tuple[type[Exception], ...] = (*errors, OSError, EOFError)
        self._kind = kind
        self._source = source
        self._stream: _Decompressor | None = None
        self._rest = b""  # compressed bytes beyond the stream that ended

    def read(self, size: int) -> bytes:
        while True:
            data = b""
            if self._stream is None:
                data, self._rest = self._rest or self._source.read(_FEED), b""
                if not data:
                    return b""
                data = data.lstrip(b"\0") if self._kind == "xz" else data  # padding between streams
                if not data:
                    continue
                self._stream = self._new()
            elif self._stream.needs_input:
                data = self._source.read(_FEED)
                if not data:
                    raise EOFError
            try:
                found = self._stream.decompress(data, size)
            except self._errors as error:
                raise Unreadable(
                    f"not a whole {self._kind} file: {error}", hint="compress the file again"
                ) from error
            if self._stream.eof:
                self._rest = self._stream.unused_data
                self._stream = None
            if found:
                return found


def _opener(kind: str) -> tuple[Callable[[], _Decompressor], tuple[type[Exception], ...]]:
    """Return how to begin a stream of a kind, and the errors of its library."""
    try:
        if kind == "bz2":
            from bz2 import BZ2Decompressor

            return BZ2Decompressor, (ValueError,)
        from lzma import FORMAT_XZ, LZMADecompressor, LZMAError

        return lambda: LZMADecompressor(FORMAT_XZ, memlimit=_XZ_MEMORY), (LZMAError,)
    except ImportError as error:
        raise Unreadable(
            f"a .{kind} file needs a Python with {kind}, which this one was built without",
            hint="decompress the file, or compress it with gzip",
        ) from error


def decompressed(stream: BinaryIO, kind: str, limits: Limits) -> io.BufferedReader:
    """Return the content of a compressed stream.

    Reading it raises Unreadable at a limit or at damaged zstd, xz or bz2 data, EOFError where the data is cut
    off, and OSError or zlib.error at damaged gzip data; what was intact before is delivered first.

    Args:
        stream: the compressed bytes.
        kind: a key of MAGIC.
        limits: max_decompressed_bytes and max_ratio are enforced here.
    """
    source = _Counted(stream)
    read: Callable[[int], bytes]
    if kind == "gz":
        import gzip

        # read1, since read would drop what it has when the data behind it turns out to be cut off.
        read = gzip.GzipFile(fileobj=source, mode="rb").read1  # type: ignore[call-overload]
    elif kind == "zst":
        read = _Zstd(source).read
    else:
        read = _Streams(source, kind).read

    def check(total: int) -> None:
        refuse_bomb(total, source.count, limits)

    return io.BufferedReader(Metered(read, check), _BUFFER)


def limited(stream: BinaryIO, limits: Limits) -> io.BufferedReader:
    """Open standard input, with max_file_bytes enforced as it is read."""

    def check(total: int) -> None:
        if total > limits.max_file_bytes:
            raise Unreadable(f"more than max_file_bytes ({in_words(limits.max_file_bytes)})", hint=_SPLIT)

    return io.BufferedReader(Metered(stream.read, check), _BUFFER)
