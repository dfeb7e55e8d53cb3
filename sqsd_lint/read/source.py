"""Opens a data file, or refuses it by its kind, its size or its first bytes."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO, Protocol

from sqsd_lint.read.compression import HEAD, MAGIC, decompressed, limited
from sqsd_lint.read.limits import KIB, Limits, in_words
from sqsd_lint.read.problems import Unreadable

_LFS = b"version https://git-lfs.github.com/spec/v1"
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16 = (
    (b"\xff\xfe\x00\x00", "UTF-32-LE"),
    (b"\x00\x00\xfe\xff", "UTF-32-BE"),
    (b"\xff\xfe", "UTF-16-LE"),
    (b"\xfe\xff", "UTF-16-BE"),
)
_OTHER_FORMATS = (
    (MAGIC["gz"], "gzip", ".gz"),
    (MAGIC["zst"], "zstd", ".zst"),
    (MAGIC["xz"], "xz", ".xz"),
    (b"PAR1", "Parquet", ".parquet"),
    (b"ARROW1", "Arrow", ".arrow"),
    (b"PK\x03\x04", "a zip archive", ".zip"),
)


class SourceKind(Protocol):
    """What a file's name says of its content.

    Attributes:
        suffix: of the format alone, ".jsonl".
        text: whether the content must be UTF-8 text.
        compression: "" or a key of `compression.MAGIC`.
    """

    @property
    def suffix(self) -> str: ...
    @property
    def text(self) -> bool: ...
    @property
    def compression(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Source:
    """An open data file, decompressed, behind its byte order mark.

    Attributes:
        file: the path as it is shown, "<stdin>" for standard input.
        stream: its bytes. Seekable only when the file is neither compressed nor standard input.
        offset: bytes of the content before the stream's first: 3 where there was a byte order mark.
        seekable: whether `stream` can be read in any order, and has a file's number.
        size: bytes of the file as it lies on disk, 0 for standard input.
        suffix: what names the format: ".jsonl".
        pass_by: takes the name of a file in an archive that is not read.
    """

    file: str
    stream: io.BufferedReader
    limits: Limits
    offset: int = 0
    seekable: bool = False
    size: int = 0
    suffix: str = ""
    pass_by: Callable[[str], None] = lambda _: None


@contextmanager
def open_source(
    path: str,
    limits: Limits,
    *,
    form: SourceKind,
    stdin: BinaryIO | None = None,
    shown: str | None = None,
) -> Iterator[Source]:
    """Open `path` for reading.

    Args:
        path: a path, or "-" for standard input.
        limits: max_file_bytes, max_decompressed_bytes and max_ratio are enforced here.
        form: what the content must be.
        stdin: where "-" reads; the process's standard input by default.
        shown: the name to use in place of `path`.

    Raises:
        Unreadable: not a regular file, over a limit, a Git LFS pointer, or plainly another format.
    """
    label = "<stdin>" if path == "-" else shown or path
    with ExitStack() as stack:
        stream: io.BufferedReader
        size = 0
        if path == "-":
            stream = limited(stdin if stdin is not None else sys.stdin.buffer, limits)
        else:
            _refuse_by_kind(path, limits)
            stream = io.BufferedReader(io.FileIO(path), 256 * KIB)
            stack.callback(stream.close)
            size = os.fstat(stream.fileno()).st_size
        yield content_of(Source(label, stream, limits, 0, path != "-", size), form)


def content_of(source: Source, form: SourceKind) -> Source:
    """Return the content of an open file: decompressed, behind its byte order mark.

    Raises:
        Unreadable: a Git LFS pointer, or plainly another format.
    """
    stream = source.stream
    head = _peek(stream)
    if head.startswith(_LFS):
        raise Unreadable(
            "a Git LFS pointer, not the data itself", hint=f'git lfs pull --include "{source.file}"'
        )
    if form.compression:
        if not head.startswith(MAGIC[form.compression]):
            raise Unreadable(
                f"the name says .{form.compression}, but the content is not so compressed",
                hint=f"remove the suffix .{form.compression}, or compress the file again",
            )
        stream = decompressed(stream, form.compression, source.limits)
        head = _peek(stream)
    offset = 0
    if form.text:
        _refuse_by_content(head, form.suffix)
        if head.startswith(_UTF8_BOM):
            offset = len(stream.read(len(_UTF8_BOM)))
    return replace(
        source,
        stream=stream,
        offset=offset,
        seekable=source.seekable and not form.compression,
        suffix=form.suffix,
    )


def _peek(stream: io.BufferedReader) -> bytes:
    return stream.peek(HEAD)[:HEAD]


def _refuse_by_kind(path: str, limits: Limits) -> None:
    # Before opening: opening a FIFO would wait for a writer that may never come.
    try:
        status = os.stat(path)
    except ValueError as error:
        raise Unreadable(f"not a path: {error}", hint="check the path") from error
    if stat.S_ISDIR(status.st_mode):
        raise Unreadable("a folder, where a file was expected", hint="give the files inside it")
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable(
            "not a regular file (a pipe, socket or device)",
            hint="pipe its content to standard input and give - as the path",
        )
    if status.st_size > limits.max_file_bytes:
        raise Unreadable(
            f"{in_words(status.st_size)}, more than max_file_bytes ({in_words(limits.max_file_bytes)})",
            hint="split the file into smaller ones",
        )


def _refuse_by_content(head: bytes, suffix: str) -> None:
    encoding = next((name for mark, name in _UTF16 if head.startswith(mark)), "") or _unmarked_utf16(head)
    if encoding:
        raise Unreadable(
            f"encoded as {encoding}, where UTF-8 was expected (byte offset 0)",
            hint=f"iconv -f {encoding[:6]} -t UTF-8 FILE > NEW_FILE"
            + ("; in Excel, save as 'CSV UTF-8'" if suffix in (".csv", ".tsv") else ""),
        )
    if head and not head.strip(b"\0"):
        raise Unreadable(
            "nothing but NUL bytes, where text was expected", hint="fetch the file again: its content is lost"
        )
    for magic, name, suffix in _OTHER_FORMATS:
        if head.startswith(magic):
            raise Unreadable(
                f"the content is {name}, where text was expected", hint=f"end the file's name in {suffix}"
            )


def _unmarked_utf16(head: bytes) -> str:
    """UTF-16 or UTF-32 without a byte order mark: every text here begins with two ASCII characters."""
    pattern = "".join("0" if byte == 0 else "x" for byte in head[:4])
    return {"x0x0": "UTF-16-LE", "0x0x": "UTF-16-BE", "x000": "UTF-32-LE", "000x": "UTF-32-BE"}.get(
        pattern, ""
    )
