"""Zip archives: the rows of the data files in them, which `datasets` and pandas read without being asked.

Nothing is ever written under a member's name. What an archive may unfold to is bounded over all its members
together, and how long the list of its members is, is known before the list is read.
"""

from __future__ import annotations

import io
import os
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Protocol

from sqsd_lint.discover.default_excludes import ARCHIVE, NOT_READ, is_not_data, suffix_of
from sqsd_lint.read.compression import Metered
from sqsd_lint.read.limits import KIB, MIB, in_words
from sqsd_lint.read.problems import Unreadable, refuse_bomb
from sqsd_lint.read.source import Source, SourceKind, content_of
from sqsd_lint.types import Problem, Row, Where


class Form(SourceKind, Protocol):
    """What a member's name says of its content, and what reads it."""

    @property
    def reader(self) -> Callable[[Source], Iterator[Row | Problem]]: ...


_BUFFER = 256 * KIB
# A member takes 46 bytes of the list at the least, and some hundred bytes of memory.
_LONGEST_LIST = 4 * MIB
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_SHOWN = 3
_LAST_RECORD, _LAST_RECORD_64, _LOCATOR = 22, 56, 20
"""Bytes of the records that end an archive."""


def read_archive(source: Source, format_of: Callable[[str], Form]) -> Iterator[Row | Problem]:
    """Yield the rows of every data file in an archive, in the archive's order.

    The rows of an only data file have the lines that they have there. Those of several files are numbered
    through, and their problems name the file.

    Raises:
        Unreadable: no archive, an empty one, over a limit, a data file that cannot be read, or no data file
            at all beside others that may hold rows.
    """
    if not source.seekable:
        raise Unreadable("a zip archive cannot be read from standard input", hint="save it to a file first")
    _refuse_long_list(source)
    try:
        archive = zipfile.ZipFile(source.stream)
        members, others = _data_members(archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error) as error:
        raise _damaged(str(error)) from error
    for name in others:
        source.pass_by(name)
    if not members:
        yield _no_data(source.file, others)
    index = 0
    unfolded = [0]  # bytes of each member so far

    def check(size: int) -> None:
        unfolded[-1] = size
        refuse_bomb(sum(unfolded), source.size, source.limits)

    for member in members:
        name = member.filename
        first, form = index, format_of(name)
        try:
            with _open(archive, member, source, form, check) as content:
                for item in form.reader(content):
                    number = first + item.where.index
                    index = max(index, number + 1)
                    yield _numbered(item, number, name) if len(members) > 1 else item
        except zipfile.BadZipFile as error:
            raise _damaged(f"{name[:80]}: {error}") from error
        except Unreadable as error:
            error.message = f"{name[:80]}: {error.message}"
            error.line = error.line if len(members) == 1 else 0
            raise
        unfolded = [sum(unfolded), 0]


@contextmanager
def _open(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    source: Source,
    form: Form,
    check: Callable[[int], None],
) -> Iterator[Source]:
    """Open a member as if it were a file of its own.

    Raises:
        Unreadable: encrypted, packed in a way that cannot be bounded, or plainly another format.
    """
    if member.flag_bits & _ENCRYPTED:
        raise Unreadable("encrypted", hint="unpack the archive")
    if member.compress_type not in _METHODS:
        raise Unreadable(
            f"compressed by method {member.compress_type}, where deflate was expected",
            hint="unpack the archive, or write it again with `zip`",
        )
    with ExitStack() as stack:
        try:
            packed = stack.enter_context(archive.open(member))
        except (NotImplementedError, RuntimeError, ValueError, struct.error) as error:
            raise _damaged(str(error)) from error
        stream: io.BufferedReader = io.BufferedReader(Metered(packed.read, check), _BUFFER)
        if not form.text:
            # Columnar formats are read from their end.
            file = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(stream, file, _BUFFER)
            file.flush()
            stream = stack.enter_context(io.BufferedReader(io.FileIO(file.fileno(), closefd=False), _BUFFER))
            stream.seek(0)
        yield content_of(replace(source, stream=stream, seekable=not form.text), form)


def _numbered(item: Row | Problem, number: int, name: str) -> Row | Problem:
    """Return an item of one file among several: a row by its number, a problem with the file's name."""
    if item.where.index < 0:
        where = replace(item.where, line=0)
    else:
        where = replace(item.where, line=number + 1, index=number, element=0)
    if isinstance(item, Row):
        return replace(item, where=where, span=None)
    place = f"{name[:80]}:{item.where.place}" if item.where.line else name[:80]
    return replace(item, where=where, message=f"{place}: {item.message}")


def _no_data(file: str, names: list[str]) -> Problem:
    """Return the problem of an archive of other things: no training data, if it was not named as such."""
    return Problem(
        "SQSD304",
        Where(file, 0, -1),
        f"holds no data file, but {_some(names)}",
        "unpack the archive, and give its data files a suffix that is known, such as .jsonl",
        rows=0,
        foreign=True,
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(name[:40]) for name in names[:_SHOWN]) + more


def _data_members(members: list[zipfile.ZipInfo]) -> tuple[list[zipfile.ZipInfo], list[str]]:
    """Return the members that hold data by their names, and the names of the other files.

    Raises:
        Unreadable: a member may hold rows, and cannot be read; or there is no file at all.
    """
    files = [member for member in members if not member.is_dir() and not _of_the_system(member.filename)]
    if not files:
        raise Unreadable("an archive without a file in it", hint="fetch the archive, or write it, again")
    data = [member for member in files if suffix_of(member.filename)]
    archives = [member.filename for member in data if suffix_of(member.filename) == ARCHIVE]
    data = [member for member in data if not is_not_data(os.path.basename(member.filename))]
    unread = archives or [m.filename for m in files if not data and m.filename.lower().endswith(NOT_READ)]
    if unread:
        raise Unreadable(
            f"holds {_some(unread)}, which may hold rows and cannot be read inside of an archive",
            hint="unpack the archive, and give its data files a suffix that is known, such as .jsonl",
        )
    return data, [member.filename for member in files if member not in data]


def _of_the_system(name: str) -> bool:
    """Whether a member is what macOS adds to every archive."""
    return name.startswith("__MACOSX/") or os.path.basename(name).startswith("._")


def _refuse_long_list(source: Source) -> None:
    """Raise Unreadable if an archive says that its list of members is longer than it may be.

    The list is read as a whole, so its length is looked up first, where zipfile looks for it: in the last
    record of the archive, or in the one of the 64-bit format before it.
    """
    stream = source.stream
    start = stream.seek(max(0, source.size - _LAST_RECORD - 2**16))
    tail = stream.read()
    found = tail.rfind(b"PK\5\6")
    if found < 0 or len(tail) - found < _LAST_RECORD:
        raise _damaged("its list of files is missing")
    (size,) = struct.unpack_from("<I", tail, found + 12)
    before = found - _LOCATOR - _LAST_RECORD_64
    if start + before >= 0:
        stream.seek(start + before)
        record = stream.read(_LAST_RECORD_64 + 4)
        if record.startswith(b"PK\6\6") and record.endswith(b"PK\6\7"):
            (size,) = struct.unpack_from("<Q", record, 40)
    stream.seek(0)
    if size > _LONGEST_LIST:
        raise Unreadable(
            f"its list of files is longer than {in_words(_LONGEST_LIST)}",
            hint="put fewer files into an archive",
        )


def _damaged(reason: str) -> Unreadable:
    return Unreadable(f"not a whole zip archive: {reason[:200]}", hint="fetch the file, or write it, again")
