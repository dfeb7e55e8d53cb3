"""What the pages of a Parquet file unfold to, from their headers, before any is decompressed.

The footer says so, too, but only the headers decide what a reader allocates. Both are Thrift structures in
the compact protocol (FileMetaData and PageHeader in parquet.thrift; https://github.com/apache/thrift/blob/
master/doc/specs, thrift-compact-protocol.md). The footer is read here, since pyarrow ends the whole process
where it is asked for a column whose statistics are damaged.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from sqsd_lint.read.limits import KIB

_HEADER = 4 * KIB
# With statistics of long texts, a header may be longer than most.
_LONGEST_HEADER = 1024 * KIB
_DICTIONARY_PAGE = 2
_DELTA_BYTE_ARRAY = 7
_DEPTH = 8
_FOOTER_DEPTH = 16
_MAGIC = b"PAR1"
_MOST_PAGES = 10**6


class Column(NamedTuple):
    """What the footer says of a column in a row group.

    Attributes:
        start, size: the bytes of the file that its pages take.
        unfolded: bytes that the pages unfold to.
        values: how many it has, nulls included.
    """

    start: int
    size: int
    unfolded: int
    values: int


def read_footer(stream: BinaryIO) -> list[list[Column]]:
    """Return the columns of every row group.

    Raises:
        ValueError: damaged.
        OSError: it cannot be read.
    """
    behind = max(0, stream.seek(0, os.SEEK_END) - 8)
    stream.seek(behind)
    end = stream.read()
    length = int.from_bytes(end[:4], "little")
    if end[4:] != _MAGIC or length > behind:
        raise ValueError("the footer is damaged")
    stream.seek(behind - length)
    try:
        footer, _ = _structure(stream.read(length), 0, _FOOTER_DEPTH)
    except (IndexError, struct.error):
        raise ValueError("the footer is damaged") from None
    return [
        [_column(_fields(chunk, 3)) for chunk in _structures(group, 1)] for group in _structures(footer, 4)
    ]


def _column(facts: dict[int, Any]) -> Column:
    start, dictionary = _number(facts, 9), _number(facts, 11)
    return Column(
        dictionary if 0 < dictionary < start else start,
        max(0, _number(facts, 7)),
        _number(facts, 6),
        _number(facts, 5),
    )


class ColumnChunk(NamedTuple):
    """The values of a column in a row group.

    Attributes:
        size: bytes that its pages unfold to.
        values: how many it has, nulls included.
        dictionary: bytes of its dictionary, 0 without one; any value may be as long.
        prefixes: bytes of its largest page whose values share their beginnings, 0 without one.
    """

    size: int
    values: int
    dictionary: int
    prefixes: int


def read_chunk(stream: BinaryIO, column: Column, file_size: int) -> ColumnChunk:
    """Return what the headers of a chunk's pages say; more than the footer says, or as much.

    Raises:
        ValueError: damaged.
        OSError: it cannot be read.
    """
    end = min(file_size, column.start + column.size)
    size = values = dictionary = prefixes = 0
    if column.values <= 0:
        end = column.start  # a reader takes no page of it
    for number, page in enumerate(_pages(stream, column.start, end)):
        if number >= _MOST_PAGES:
            raise ValueError(f"a column of more than {_MOST_PAGES} pages")
        unfolded = max(0, _number(page, 2))
        size += unfolded
        if _number(page, 1) == _DICTIONARY_PAGE:
            dictionary = max(dictionary, unfolded)
            continue
        first, second = _fields(page, 5), _fields(page, 8)
        values += max(0, _number(first, 1), _number(second, 1))
        if _DELTA_BYTE_ARRAY in (_number(first, 2), _number(second, 4)):
            prefixes = max(prefixes, unfolded)
    return ColumnChunk(max(size, column.unfolded), max(values, column.values), dictionary, prefixes)


def _pages(stream: BinaryIO, at: int, end: int) -> Iterator[dict[int, Any]]:
    """Yield the headers of the pages that lie between two places in a file."""
    while 0 <= at < end:
        length = _HEADER
        while True:
            stream.seek(at)
            data = stream.read(min(length, end - at))
            try:
                page, used = _structure(data, 0, _DEPTH)
                break
            except (IndexError, struct.error):
                if length >= _LONGEST_HEADER or length >= end - at:
                    raise ValueError("the header of a page is damaged") from None
                length = min(_LONGEST_HEADER, 16 * length)
        yield page
        at += used + max(0, _number(page, 3))


def _number(page: dict[int, Any], field: int) -> int:
    value = page.get(field, 0)
    return value if isinstance(value, int) else 0


def _fields(page: dict[int, Any], field: int) -> dict[int, Any]:
    value = page.get(field)
    return value if isinstance(value, dict) else {}


def _structures(page: dict[int, Any], field: int) -> list[dict[int, Any]]:
    value = page.get(field)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _structure(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """Return a structure's fields by number, and where it ends.

    Raises:
        IndexError: it goes on behind the data.
        ValueError: it is none.
    """
    found: dict[int, Any] = {}
    field = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            field += head >> 4
        else:
            field, at = _integer(data, at)
        found[field], at = _value(data, at, head & 15, depth)
    return found, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if depth <= 0:
        raise ValueError("its Thrift structures are nested too deeply")
    if kind in (1, 2):
        return kind == 1, at
    if kind == 3:
        return data[at], at + 1
    if kind in (4, 5, 6):
        return _integer(data, at)
    if kind == 7:
        return None, at + 8
    if kind == 8:
        length, at = _varint(data, at)
        if at + length > len(data):
            raise IndexError
        return None, at + length
    if kind in (9, 10):
        head, at = data[at], at + 1
        length = head >> 4
        if length == 15:
            length, at = _varint(data, at)
        found = []
        for _ in range(length):
            # As elements, truth values take a byte each.
            value, at = (None, at + 1) if head & 15 in (1, 2) else _value(data, at, head & 15, depth - 1)
            if at > len(data):
                raise IndexError
            found.append(value)
        return found, at
    if kind == 12:
        return _structure(data, at, depth - 1)
    raise ValueError("its Thrift structures are damaged")


def _integer(data: bytes, at: int) -> tuple[int, int]:
    number, at = _varint(data, at)
    return (number >> 1) ^ -(number & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
        if shift > 63:
            raise ValueError("its Thrift structures are damaged")
