"""Which way of finding and writing rows a file takes, by its format."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

from sqsd_lint.discover import suffix_of
from sqsd_lint.fix.content import Opener, Sink, opener
from sqsd_lint.fix.locate_elements import locate_elements
from sqsd_lint.fix.locate_lines import Take, locate_lines
from sqsd_lint.fix.locate_records import locate_records
from sqsd_lint.fix.plan_types import Span
from sqsd_lint.fix.texts import ArrayWriter, LineWriter, RowWriter
from sqsd_lint.read.decode import Decoder
from sqsd_lint.read.source import Source

Locate = Callable[[Opener, AbstractSet[int], Take], dict[int, Span]]
WriterOf = Callable[[Sink, Opener | None, Opener], RowWriter]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a text format stores rows.

    Attributes:
        locate: finds the spans of rows.
        writer: writes the quarantine file; called with a sink, the existing quarantine file and the file.
        ambiguous: whether a file may be read in another way when rows are missing: it is checked then.
    """

    locate: Locate
    writer: WriterOf
    ambiguous: bool = False


_LINES = Layout(locate_lines, LineWriter)
_ARRAY = Layout(locate_elements, ArrayWriter, ambiguous=True)
# JSON Lines under the name of JSON: one row alone would be a document, so the quarantine file is an array.
_LINES_IN_JSON = Layout(locate_lines, ArrayWriter, ambiguous=True)
_RECORDS = {
    suffix: Layout(partial(locate_records, delimiter=delimiter), partial(LineWriter, delimiter=delimiter))
    for suffix, delimiter in ((".csv", ","), (".tsv", "\t"))
}


def layout_of(file: str) -> Layout | None:
    """The layout of a text file, None for Parquet and Arrow.

    Raises:
        Unreadable, OSError, EOFError, zlib.error: its start cannot be read.
    """
    suffix = suffix_of(file)
    base = suffix.removesuffix(".gz").removesuffix(".zst")
    if base == ".json":
        with opener(file)() as source:
            return _LINES_IN_JSON if _holds_lines(source) else _ARRAY
    if base in (".jsonl", ".ndjson"):
        return _LINES
    return _RECORDS.get(base)


def _holds_lines(source: Source) -> bool:
    """Whether the first line is an object, and another begins behind it: as `read_json` decides."""
    first = source.stream.readline(source.limits.max_line_bytes)
    if not source.stream.peek(1).lstrip().startswith(b"{"):
        return False
    try:
        value, _ = Decoder(source.limits.max_depth).decode(first.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)
