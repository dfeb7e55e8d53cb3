"""JSON documents, decoded element by element: an array of rows, an object that holds such arrays, or one row.

Many files named .json hold JSON Lines; those are recognised by their first line and read as such.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sqsd_lint.read.decode import Decoder
from sqsd_lint.read.document import Document
from sqsd_lint.read.jsonl import read_jsonl
from sqsd_lint.read.limits import KIB, in_words
from sqsd_lint.read.problems import Unreadable, malformed_row
from sqsd_lint.read.source import Source
from sqsd_lint.types import Problem, Row, Where

CONTAINERS = ("data", "rows", "train", "validation", "test")
"""Keys of a top-level object under which an array of objects is read as rows."""


def read_json(source: Source) -> Iterator[Row | Problem]:
    """Yield the rows of a JSON document, each with the line on which it starts.

    Raises:
        Unreadable: not a JSON document. The rows before the damage are yielded first.
    """
    first = source.stream.readline(source.limits.max_line_bytes)
    rest = source.stream.peek(1)
    source = replace(source, stream=io.BufferedReader(_Chain(first, source.stream), 256 * KIB))
    if rest.lstrip()[:1] == b"{" and _is_object(first, source.limits.max_depth):
        yield from read_jsonl(source)
        return
    document = Document(source)
    opening = document.peek()
    if opening == "[":
        yield from _Rows(document).array()
    elif opening == "{":
        yield from _Rows(document).object()
    else:
        raise Unreadable(
            f"an array or an object was expected, found {opening!r}"
            if opening
            else "empty, where JSON was expected",
            hint="write the rows as a JSON array",
            line=document.line_at(document.pos),
        )
    if document.peek():
        raise document.damage("nothing was expected after the end of the document")


class _Chain(io.RawIOBase):
    """Bytes already taken from a stream, then the stream."""

    def __init__(self, taken: bytes, stream: io.BufferedReader) -> None:
        self._taken = memoryview(taken)
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        data = self._taken[: len(buffer)] or self._stream.read1(len(buffer))
        self._taken = self._taken[len(data) :]
        buffer[: len(data)] = data
        return len(data)


def _is_object(line: bytes, max_depth: int) -> bool:
    try:
        value, _ = Decoder(max_depth).decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)


class _Rows:
    """Numbers the rows of one document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._index = 0

    def _row(self, raw: Any, fault: str, line: int, text: str = "") -> Row | Problem:
        where = Where(self._document.file, line, self._index)
        self._index += 1
        return malformed_row(where, fault, text=text) if fault else Row(where, raw)

    def array(self) -> Iterator[Row | Problem]:
        """The elements of the array that starts here."""
        document = self._document
        document.expect("[")
        if document.accept("]"):
            return
        while True:
            document.peek()
            line = document.line_at(document.pos)
            raw, fault, text = document.value()
            yield self._row(raw, fault, line, text)
            if document.accept("]"):
                return
            document.expect(",")

    def object(self) -> Iterator[Row | Problem]:
        """The rows in the object that starts here, which is a row itself when it contains none."""
        document = self._document
        start = document.line_at(document.pos)
        whole: dict[str, Any] = {}
        faults: list[str] = []
        contained: list[str] = []
        spent = 0
        document.expect("{")
        closed = document.accept("}")
        while not closed:
            before = document.offset
            key, _, _ = document.value()
            if not isinstance(key, str):
                raise document.damage("a key in double quotes was expected before")
            if key in whole or key in contained:
                faults.append(
                    f"the key {key[:40]!r} appears twice, and parsers differ in which one they take"
                )
            document.expect(":")
            if key in CONTAINERS and document.starts_array_of_objects():
                contained.append(key)
                yield from self.array()
            else:
                whole[key], fault, _ = document.value()
                faults.extend([fault] if fault else [])
                spent += document.offset - before
                if spent > document.limits.max_line_bytes:
                    raise Unreadable(
                        f"the object at line {start} is longer than max_line_bytes"
                        f" ({in_words(document.limits.max_line_bytes)}) without its rows",
                        line=start,
                    )
            closed = document.accept("}")
            if not closed:
                document.expect(",")
        if whole and not self._index:
            whole.update((key, []) for key in contained)
            contained.clear()
        if not contained:
            yield self._row(whole, faults[0] if faults else "", start)
        elif faults:
            raise Unreadable(faults[0], line=start)
        else:
            yield from self._unread(whole, start)

    def _unread(self, whole: dict[str, Any], line: int) -> Iterator[Problem]:
        """Arrays of objects beside the rows look like rows, too: that they were not read is said."""
        for key, value in whole.items():
            if isinstance(value, list) and value and isinstance(value[0], dict):
                known = ", ".join(CONTAINERS)
                message = f"{len(value)} objects under {key[:40]!r} were not read: rows are read from {known}"
                problem = malformed_row(
                    Where(self._document.file, line, -1), message, hint="move rows under one of these keys"
                )
                yield replace(problem, rows=len(value))
