"""Which way of cutting rows out and of writing them a file takes, by its format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqsd_lint.discover.default_excludes import LINES, TEXT, base_suffix
from sqsd_lint.fix.content import Opener, Sink, opener
from sqsd_lint.fix.cuts import Spans, cut_elements, cut_lines
from sqsd_lint.fix.plan_types import Span
from sqsd_lint.fix.texts import ArrayWriter, LineWriter, RowWriter, TableWriter
from sqsd_lint.read.json import holds_lines

Cuts = Callable[[Opener, Spans], dict[int, Span]]
WriterOf = Callable[[Sink, Opener | None, Opener], RowWriter]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a text format stores rows.

    Attributes:
        cuts: finds what leaves the file with each row, from the bytes that the row is.
        writer: writes the quarantine file; called with a sink, the existing quarantine file and the file.
        ambiguous: whether a file may be read in another way when rows are missing: it is checked then.
        must_stay: whether what is left must have this layout, too.
    """

    cuts: Cuts
    writer: WriterOf
    ambiguous: bool = False
    must_stay: bool = False


_LINES = Layout(cut_lines, LineWriter)
_RECORDS = Layout(cut_lines, TableWriter)
_ELEMENTS = Layout(cut_elements, ArrayWriter, ambiguous=True)
# JSON Lines under the name of JSON: one row alone would be a document, so the quarantine file is an array.
# What is left must be lines, of which a damaged one costs no other.
_LINES_IN_JSON = Layout(cut_lines, ArrayWriter, ambiguous=True, must_stay=True)


def layout_of(file: str, *, name: str | None = None) -> Layout | None:
    """Return the layout of a text file, None for Parquet and Arrow.

    Args:
        name: in place of the name, that of the file of which `file` is a copy.

    Raises:
        Unreadable, OSError, EOFError, zlib.error: its start cannot be read.
    """
    base = base_suffix(name or file)
    if base not in TEXT:
        return None
    if base not in (*LINES, ".json"):
        return _RECORDS
    with opener(file, name=name)() as source:
        lines, _ = holds_lines(source)
    if not lines:
        return _ELEMENTS
    return _LINES if base in LINES else _LINES_IN_JSON
