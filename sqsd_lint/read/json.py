"""JSON documents, decoded element by element: an array of rows, an object that holds such arrays, or one row.

Many files named .json hold JSON Lines; those are recognised by their first line and read as such.

A JSON document behind a moving window, so that one of any size needs the memory of its largest row.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from json import JSONDecodeError
from typing import Any

from sqsd_lint.read.decode import Decoder, not_json, too_deep
from sqsd_lint.read.jsonl import read_jsonl
from sqsd_lint.read.limits import KIB, in_words
from sqsd_lint.read.problems import Unreadable, bad_utf8, malformed_row
from sqsd_lint.read.source import Source
from sqsd_lint.types import Problem, Row, Where

_CHUNK = 256 * KIB
_blanks = re.compile(r"[ \t\r\n]*").match
# The scanner complains at most this far before the end about a value that merely is not all there yet.
_MARGIN = 16


class Document:
    """Decodes the values of a document in order.

    Attributes:
        file, limits: as in the source.
        pos: where in the window the next character is.
    """

    def __init__(self, source: Source) -> None:
        self.file = source.file
        self.pos = 0
        self.limits = source.limits
        # read1, since read would drop what it has when the data behind it turns out to be cut off.
        self._read = source.stream.read1
        self._decoder = Decoder(source.limits.max_depth)
        self._utf8 = codecs.getincrementaldecoder("utf-8")("strict")
        self._text = ""
        self._end = False  # whether the window reaches the end of the document
        self._bytes = source.offset  # bytes of the file taken so far
        self._bad: str = ""  # set when the bytes after the window are no UTF-8
        self._dropped = 0  # characters before the window
        self._counted = 0  # the window up to here is counted in the next two
        self._line = 1
        self._column = 1

    @property
    def offset(self) -> int:
        """Characters of the document before `pos`."""
        return self._dropped + self.pos

    def line_at(self, pos: int) -> int:
        """1-based line of a window position at or after any asked for before."""
        newlines = self._text.count("\n", self._counted, pos)
        if newlines:
            self._line += newlines
            self._column = pos - self._text.rfind("\n", self._counted, pos)
        else:
            self._column += pos - self._counted
        self._counted = pos
        return self._line

    def peek(self) -> str:
        """Move to the next character that is no white space and return it, "" at the end."""
        while True:
            self.pos = _blanks(self._text, self.pos).end()  # type: ignore[union-attr]
            if self.pos < len(self._text):
                return self._text[self.pos]
            if not self._fill():
                return ""

    def accept(self, mark: str) -> bool:
        """Step over `mark` if it comes next."""
        if self.peek() != mark:
            return False
        self.pos += 1
        return True

    def expect(self, mark: str) -> None:
        if not self.accept(mark):
            raise self.damage(f"{mark!r} was expected")

    def value(self) -> tuple[Any, str, str]:
        """The value that comes next, its fault ("" when sound), and the start of its text."""
        self.peek()
        while True:
            try:
                value, end, fault = self._decoder.scan(self._text, self.pos)
            except RecursionError:
                raise Unreadable(too_deep(self.limits.max_depth), line=self.line_at(self.pos)) from None
            except JSONDecodeError as error:
                if not self._may_go_on(error) or not self._fill():
                    line = self.line_at(error.pos)
                    raise Unreadable(not_json(error, line=line, column=self._column), line=line) from None
            else:
                # A number at the end of the window may have more digits behind it.
                if end < len(self._text) or self._text[end - 1] in '"]}' or not self._fill():
                    break
        start, self.pos = self.pos, end
        if end - start > self.limits.max_line_bytes:
            fault = f"longer than max_line_bytes ({in_words(self.limits.max_line_bytes)})"
        return value, fault, self._text[start : min(end, start + 256)] if fault else ""

    def starts_array_of_objects(self) -> bool:
        """Whether an array comes next that is empty or begins with an object; moves to its bracket."""
        if self.peek() != "[":
            return False
        while True:
            at = _blanks(self._text, self.pos + 1).end()  # type: ignore[union-attr]
            if at < len(self._text) or not self._fill():
                return self._text[at : at + 1] in ("{", "]")

    def damage(self, expected: str) -> Unreadable:
        """The error of a document that goes on otherwise than `expected`."""
        found = repr(self._text[self.pos : self.pos + 12]) if self.peek() else "the end of the file"
        line = self.line_at(self.pos)
        return Unreadable(
            f"not JSON at line {line}, column {self._column}: {expected}, found {found}",
            hint="rows after this place were not read: repair the document",
            line=line,
        )

    def _may_go_on(self, error: JSONDecodeError) -> bool:
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _MARGIN

    def _fill(self) -> bool:
        """Drop what is decoded and take more in; False at the end of the document."""
        if self._end:
            return False
        pending = len(self._text) - self.pos
        if pending > self.limits.max_line_bytes:
            line = self.line_at(self.pos)
            raise Unreadable(
                f"the row at line {line} is longer than"
                f" max_line_bytes ({in_words(self.limits.max_line_bytes)})",
                hint="rows after it were not read: shorten it",
                line=line,
            )
        if self._bad:
            raise Unreadable(self._bad, hint="save the file as UTF-8", line=self.line_at(len(self._text)))
        self.line_at(self.pos)
        # Twice the pending text each time: a long row is scanned again a few times only.
        data = self._read(max(_CHUNK, pending))
        self._end = not data
        self._bytes += len(data)
        try:
            more = self._utf8.decode(data, final=self._end)
        except UnicodeDecodeError as error:
            more = error.object[: error.start].decode("utf-8")
            self._bad = bad_utf8(error, self._bytes - len(error.object))
            self._end = False
        self._text = self._text[self.pos :] + more
        self._dropped += self.pos
        self.pos = self._counted = 0
        return True


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
