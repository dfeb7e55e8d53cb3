"""JSON documents, decoded element by element.

Such a document is an array of rows, objects one after another, an object that holds arrays of rows, a table
as pandas writes it, or one row.

Many files named .json hold JSON Lines, and some named .jsonl hold a document; the first line decides.

A document is read behind a moving window, so that one of any size needs the memory of its largest row.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from json import JSONDecodeError
from typing import Any

from sqsd_lint.discover.default_excludes import LINES
from sqsd_lint.read.decode import Decoder, not_json, too_deep
from sqsd_lint.read.json_tables import looks_like_messages, looks_like_row, rows_of_table
from sqsd_lint.read.jsonl import read_lines
from sqsd_lint.read.limits import KIB, in_words
from sqsd_lint.read.problems import Unreadable, bad_utf8, malformed_row
from sqsd_lint.read.source import Source
from sqsd_lint.types import Problem, Row, Where

_CHUNK = 256 * KIB
_blanks = re.compile(r"[ \t\r\n]*").match
# The scanner complains at most this far before the end about a value that merely is not all there yet.
_MARGIN = 16

# More blank lines than this before the first row are passed over as the lines of a file of lines.
_LAYOUT = 64 * KIB

NOTHING = object()
"""Stands for a value that is not there."""


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
        self._measured = 0  # the window up to here is counted in the next one
        self._start = source.offset  # bytes of the content before `_measured`

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

    def byte_at(self, pos: int) -> int:
        """Bytes of the content before a window position at or after any asked for before."""
        text = self._text
        self._start += (
            pos - self._measured if text.isascii() else len(text[self._measured : pos].encode("utf-8"))
        )
        self._measured = pos
        return self._start

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
        """Decode the value that comes next: it, its fault ("" when sound), and the start of its text."""
        value, fault, text, _ = self.placed_value()
        return value, fault, text

    def placed_value(self) -> tuple[Any, str, str, tuple[int, int]]:
        """Decode the value that comes next, as `value`, and say which bytes of the content it takes."""
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
        span = self.byte_at(start), self.byte_at(end)
        if end - start > self.limits.max_line_bytes:
            fault = f"longer than max_line_bytes ({in_words(self.limits.max_line_bytes)})"
        return value, fault, self._text[start : min(end, start + 256)] if fault else "", span

    def first_of_array(self) -> Any:
        """Decode the first element of the array that comes next, without moving beyond its bracket.

        Returns:
            The element; NOTHING where no array comes next, it is empty, or the element is damaged.
        """
        if self.peek() != "[":
            return NOTHING
        while True:
            at = _blanks(self._text, self.pos + 1).end()  # type: ignore[union-attr]
            if at < len(self._text):
                try:
                    return self._decoder.scan(self._text, at)[0]
                except RecursionError:
                    return NOTHING
                except JSONDecodeError as error:
                    if not self._may_go_on(error):
                        return NOTHING
            if not self._fill():
                return NOTHING

    def starts_array_of_objects(self) -> bool:
        """Return whether an array comes next that is empty or begins with an object; moves to its bracket."""
        if self.peek() != "[":
            return False
        while True:
            at = _blanks(self._text, self.pos + 1).end()  # type: ignore[union-attr]
            if at < len(self._text) or not self._fill():
                return self._text[at : at + 1] in ("{", "]")

    def damage(self, expected: str) -> Unreadable:
        """Return the error of a document that goes on otherwise than `expected`."""
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
        self.byte_at(self.pos)
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
        self.pos = self._counted = self._measured = 0
        return True


CONTAINERS = (
    *("data", "rows", "train", "validation", "test"),
    *("examples", "instances", "samples", "items", "records", "entries", "dataset"),
)
"""Keys of a top-level object under which an array of objects is read as rows, whatever they look like."""

_ORIENT = "df.to_json('rows.jsonl', orient='records', lines=True) writes one object a line"


def read_json(source: Source) -> Iterator[Row | Problem]:
    """Yield the rows of a file of JSON or JSON Lines, each with the line on which it starts.

    Raises:
        Unreadable: neither. The rows before the damage are yielded first.
    """
    lines, source = holds_lines(source)
    yield from read_lines(source) if lines else _told_apart(_read_document(source))


def holds_lines(source: Source) -> tuple[bool, Source]:
    """Return whether a file of JSON has a row on each line, by its first lines, and the whole source.

    Raises:
        Unreadable: each line holds an array, which is no row.
    """
    most = source.limits.max_line_bytes
    taken = first = source.stream.readline(most)
    named = source.suffix in LINES
    while named and first and not first.strip() and len(taken) < _LAYOUT:
        first = source.stream.readline(most)
        taken += first
    rest = source.stream.peek(1).lstrip()[:1]
    lines = _are_lines(first, rest, source) if named else rest == b"{" and _is_object(first, source)
    return lines, replace(source, stream=io.BufferedReader(_Chain(taken, source.stream), 256 * KIB))


def _are_lines(first: bytes, rest: bytes, source: Source) -> bool:
    """Return whether a file named after JSON Lines holds them; one broken line leaves the others rows.

    Args:
        first: the first line that is not blank.
        rest: the first byte behind it that is not blank.
    """
    try:
        text = first.decode("utf-8").strip()
        value, _ = Decoder(source.limits.max_depth).decode(text)
    except JSONDecodeError as error:
        if error.msg == "Extra data":
            return not (text.startswith("{") and text.startswith("{", error.pos))
        if error.pos < len(text) or not rest:
            return True
        goes_on = text[-1:] in ("[", "{", ",", ":") or rest in (b",", b"]", b"}")
        return not goes_on or not (text.startswith("[") or (text.startswith("{") and rest != b"{"))
    except (ValueError, RecursionError):
        return True
    if not isinstance(value, list):
        return True
    if all(isinstance(element, dict) for element in value) and not looks_like_messages(value):
        return False
    raise Unreadable(
        "each line holds an array, where an object (a row) was expected",
        hint='put messages under a key: {"messages": [...]}'
        if looks_like_messages(value)
        else 'give the values names: {"prompt": "...", "completion": "..."}',
        line=1,
    )


def _is_object(line: bytes, source: Source) -> bool:
    try:
        value, _ = Decoder(source.limits.max_depth).decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)


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


def _told_apart(items: Iterator[Row | Problem]) -> Iterator[Row | Problem]:
    """Yield the same rows, with their numbers where several begin on one line."""
    held: Row | Problem | None = None
    late: Exception | None = None
    before = 0  # the line of the row before the one that is held
    while True:
        item: Row | Problem | None = None
        try:
            item = next(items, None)
        except Exception as error:  # what was read before it is delivered first
            late = error
        if held is not None:
            where = held.where
            if where.index >= 0 and where.line in (before, item.where.line if item else 0):
                held = replace(held, where=replace(where, element=where.index + 1))
            before = where.line
            yield held
        if late is not None:
            raise late
        if item is None:
            return
        held = item


def _read_document(source: Source) -> Iterator[Row | Problem]:
    document = Document(source)
    rows = _Rows(document)
    opening = document.peek()
    if opening == "[":
        rows.refuse_values()
        yield from rows.array()
    elif opening == "{":
        yield from rows.objects()
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


class _Rows:
    """Numbers the rows of one document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._index = 0

    def _row(
        self, raw: Any, fault: str, line: int, text: str = "", span: tuple[int, int] | None = None
    ) -> Row | Problem:
        where = Where(self._document.file, line, self._index)
        self._index += 1
        return malformed_row(where, fault, text=text) if fault else Row(where, raw, span)

    def _next_row(self) -> Row | Problem:
        """Return the value that comes next as a row."""
        document = self._document
        document.peek()
        line = document.line_at(document.pos)
        raw, fault, text, span = document.placed_value()
        return self._row(raw, fault, line, text, span)

    def refuse_values(self) -> None:
        """Raise Unreadable at an array of arrays of plain values, a table whose columns have no names."""
        first = self._document.first_of_array()
        plain = (str, int, float, type(None))
        if isinstance(first, list) and first and all(isinstance(cell, plain) for cell in first):
            raise Unreadable(
                "an array of arrays, whose columns have no names",
                hint=_ORIENT,
                line=self._document.line_at(0),
            )

    def array(self) -> Iterator[Row | Problem]:
        """Yield the elements of the array that starts here."""
        document = self._document
        document.expect("[")
        if document.accept("]"):
            return
        while True:
            yield self._next_row()
            if document.accept("]"):
                return
            document.expect(",")
            if document.peek() == "]":
                raise document.damage("another row was expected behind the comma")

    def objects(self) -> Iterator[Row | Problem]:
        """Yield the rows in the object that starts here, or the object and those behind it, each a row."""
        document = self._document
        start = document.line_at(document.pos)
        first_byte = document.byte_at(document.pos)
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
            if self._rows_next(key, whole):
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
                        hint=f"if it is a table, {_ORIENT}",
                        line=start,
                    )
            closed = document.accept("}")
            if not closed:
                document.expect(",")
        span = first_byte, document.byte_at(document.pos)
        if whole and not self._index:
            whole.update((key, []) for key in contained)
            contained.clear()
        if contained and faults:
            raise Unreadable(faults[0], line=start)
        if contained:
            yield from self._unread(whole, start)
            return
        follows = document.peek() == "{"
        table = None if follows or faults else rows_of_table(whole)
        if table is not None:
            for raw in table:
                yield self._row(raw, "", start)
            return
        yield self._row(whole, faults[0] if faults else "", start, span=span)
        while document.peek() == "{":
            yield self._next_row()

    def _rows_next(self, key: str, whole: dict[str, Any]) -> bool:
        """Return whether the value of a key is an array of rows, rather than a part of one."""
        if not self._document.starts_array_of_objects():
            return False
        if key in CONTAINERS:
            return True
        return not looks_like_row(whole) and looks_like_row(self._document.first_of_array())

    def _unread(self, whole: dict[str, Any], line: int) -> Iterator[Problem]:
        """Yield what stands beside the rows and looks like rows, too: that it was not read is said."""
        known = ", ".join(CONTAINERS)
        where = Where(self._document.file, line, -1)
        for key, value in whole.items():
            if isinstance(value, list) and value and isinstance(value[0], dict):
                message = f"{len(value)} objects under {key[:40]!r} were not read: rows are read from {known}"
                problem = malformed_row(where, message, hint="move rows under one of these keys")
                yield replace(problem, rows=len(value))
        if looks_like_row(whole):
            message = "the object around the rows looks like a row itself, and was not read as one"
            yield malformed_row(where, message, hint="write it beside the others")
