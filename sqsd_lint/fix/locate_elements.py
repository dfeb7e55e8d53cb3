"""Where rows stand in a JSON document, and what must leave the document with them.

An element goes with all that stands between it and the next one, the comma included; the last ones of an
array go with what stands before them. So the elements that stay keep their layout, and the rest is JSON.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from sqsd_lint.fix.content import Opener
from sqsd_lint.fix.locate_lines import Take
from sqsd_lint.fix.plan_types import CannotBeFixed, Span
from sqsd_lint.read.json import CONTAINERS, Document
from sqsd_lint.read.limits import KIB
from sqsd_lint.read.source import Source

_CHUNK = 256 * KIB


def locate_elements(open_content: Opener, wanted: AbstractSet[int], take: Take) -> dict[int, Span]:
    """The spans of the wanted rows by number.

    Raises:
        CannotBeFixed: the whole document is one row.
        Unreadable, OSError, EOFError, zlib.error: the content cannot be read to its end.
    """
    with open_content() as source:
        walk = _Walk(Document(source), wanted, take)
        walk.document()
    # The document counts characters, the file bytes.
    spans = walk.found
    with open_content() as source:
        at = _byte_offsets(
            source, (n for s in spans.values() for n in (s.start, s.end, s.cut_start, s.cut_end))
        )
    return {
        index: Span(at[span.start], at[span.end], at[span.cut_start], at[span.cut_end])
        for index, span in spans.items()
    }


class _Walk:
    """Walks through a document as `read_json` does, and counts the same rows."""

    def __init__(self, document: Document, wanted: AbstractSet[int], take: Take) -> None:
        self._document = document
        self._wanted = wanted
        self._take = take
        self._index = 0
        self.found: dict[int, Span] = {}

    def document(self) -> None:
        if self._document.peek() == "[":
            self._array()
        else:
            self._object()
        if self._document.peek():
            raise self._document.damage("nothing was expected after the end of the document")

    def _object(self) -> None:
        document = self._document
        document.expect("{")
        closed = document.accept("}")
        while not closed:
            key, _, _ = document.value()
            document.expect(":")
            if key in CONTAINERS and document.starts_array_of_objects():
                self._array()
            else:
                document.value()
            closed = document.accept("}")
            if not closed:
                document.expect(",")
        if not self._index:
            raise CannotBeFixed("the document as a whole is one row")

    def _array(self) -> None:
        document = self._document
        document.expect("[")
        if document.accept("]"):
            return
        run: list[tuple[int, int, int]] = []  # wanted elements since the last that stays: number, start, end
        stays = -1  # where the last element that stays ends
        while True:
            document.peek()
            start = document.offset
            value, fault, _ = document.value()
            end = document.offset
            if self._index in self._wanted:
                self._take(self._index, None if fault else value)
                run.append((self._index, start, end))
            else:
                self._cut_before(run, start)
                run.clear()
                stays = end
            self._index += 1
            if document.accept("]"):
                self._cut_last(run, stays)
                return
            document.expect(",")

    def _cut_before(self, run: list[tuple[int, int, int]], following: int) -> None:
        """Elements of which each goes with all that stands before the next."""
        nexts = [*(start for _, start, _ in run[1:]), following]
        for (index, start, end), cut_end in zip(run, nexts, strict=False):  # an empty run has no next
            self.found[index] = Span(start, end, start, cut_end)

    def _cut_last(self, run: list[tuple[int, int, int]], stays: int) -> None:
        """The last elements of an array, of which each goes with all that stands after the one before."""
        for index, start, end in run:
            self.found[index] = Span(start, end, start if stays < 0 else stays, end)
            stays = end


def _byte_offsets(source: Source, characters: Iterable[int]) -> dict[int, int]:
    """For each of these character offsets the number of bytes before it."""
    utf8 = codecs.getincrementaldecoder("utf-8")("strict")
    found: dict[int, int] = {}
    text, used = "", 0
    passed = size = 0  # characters and bytes before text[used:]
    for offset in sorted(set(characters)):
        while passed + len(text) - used < offset:
            passed += len(text) - used
            size += len(text[used:].encode("utf-8"))
            data = source.stream.read(_CHUNK)
            if not data:
                raise EOFError
            text, used = utf8.decode(data), 0
        part = text[used : used + offset - passed]
        used += len(part)
        passed += len(part)
        size += len(part.encode("utf-8"))
        found[offset] = size
    return found
