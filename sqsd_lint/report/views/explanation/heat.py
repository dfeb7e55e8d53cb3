"""Show shares as heat: a few levels of colour, or of marks where there is no colour.

Levels run from -4 (towards safety) over 0 (hardly anything) to 4 (towards danger). Four levels are as many as
can be told apart at a glance, and as many as 16 colours of a terminal can hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqsd_lint.common.escape import cells, escape
from sqsd_lint.report.style.page import ASCII, Page

if TYPE_CHECKING:
    from rich.text import Text

# Shares of the reference at which levels 1 to 4 begin.
_STEPS = (0.1, 0.3, 0.55, 0.8)
# One token of extreme weight must not make all others look alike: beyond this, all are as hot.
_QUANTILE = 0.95

# Foreground and background, both, so that the text can be read in a light and in a dark terminal.
_STYLES = {
    4: "bold #ffffff on #b3261e",
    3: "#000000 on #ee7a5e",
    2: "#000000 on #f6ab97",
    1: "#000000 on #fbdad2",
    -1: "#000000 on #d5e4f7",
    -2: "#000000 on #a5c6ee",
    -3: "#000000 on #6d9fdc",
    -4: "bold #ffffff on #1f5fa8",
}
_MARKS = {1: "▂", 2: "▄", 3: "▆", 4: "█", -1: "·", -2: "∘", -3: "○", -4: "●"}
_ASCII_MARKS = {1: "1", 2: "2", 3: "3", 4: "4", -1: "a", -2: "b", -3: "c", -4: "d"}


def reference(values: Iterable[float]) -> float:
    """Return the share that counts as hot: the 95th percentile of the sizes of those that are not 0."""
    sizes = sorted(abs(v) for v in values if v and math.isfinite(v))
    return sizes[min(int(_QUANTILE * len(sizes)), len(sizes) - 1)] if sizes else 0.0


def level(value: float, hot: float) -> int:
    """Return -4 to 4 for a share, `hot` or more being 4; 0 for what is no number."""
    if not math.isfinite(value) or not hot > 0:
        return 0
    size = sum(abs(value) / hot >= step for step in _STEPS)
    return size if value > 0 else -size


@dataclass(frozen=True)
class Cell:
    """What one character of the text becomes, and how hot it is."""

    text: str
    level: int


def heat_cells(text: str, levels: Sequence[int]) -> list[list[Cell]]:
    """Return the characters of a text, escaped, line by line.

    Args:
        levels: by character.
    """
    lines: list[list[Cell]] = []
    start = 0
    for line in text.split("\n"):
        pieces = escaped_pieces(line.removesuffix("\r").replace("\t", " "))
        lines.append([Cell(piece, levels[start + i]) for i, piece in enumerate(pieces)])
        start += len(line) + 1
    return lines


def escaped_pieces(text: str) -> list[str]:
    """Return what each character of `text` becomes in `escape(text)`: itself, or its visible escape."""
    safe = escape(text)
    pieces, at = [], 0
    for char in text:
        length = 1
        if not safe.startswith(char, at):
            form = char.encode("unicode_escape").decode("ascii")
            # Colons and hashes of a runner's commands have no short form.
            length = len(form) if len(form) > 1 else len(r"\x3a")
        pieces.append(safe[at : at + length])
        at += length
    return pieces


def folded(line: Sequence[Cell], room: int) -> Iterator[list[Cell]]:
    """Return a line in parts of at most `room` cells, broken at blanks where there are any."""
    row: list[Cell] = []
    width = blank = 0  # `blank`: how much of `row` stands before its last blank
    for cell in line:
        size = cells(cell.text)
        if row and width + size > room:
            if cell.text == " ":
                yield row
                row, width, blank = [], 0, 0
                continue
            if blank:
                yield row[: blank - 1]
                row = row[blank:]
                width = sum(cells(c.text) for c in row)
            if not blank or width + size > room:
                yield row
                row, width = [], 0
            blank = 0
        row.append(cell)
        width += size
        if cell.text == " ":
            blank = len(row)
    yield row


def print_heat(page: Page, lines: Iterable[Sequence[Cell]], indent: int) -> None:
    """Print lines with their heat as background, or as a line of marks under them."""
    from rich.text import Text

    for line in lines:
        for row in folded(line, max(page.width - indent, 8)):
            page.line(_coloured(page, row), indent if row else 0)
            if not page.console.color_system:
                marks = "".join(mark(page, c.level) * cells(c.text) for c in row).rstrip()
                if marks:
                    page.line(Text(marks), indent)


def style(page: Page, level: int) -> str:
    """Return the style of a level, none without colour."""
    return _STYLES.get(level, "") if page.console.color_system else ""


def mark(page: Page, level: int) -> str:
    """Return one character for a level where there is no colour; a blank for 0."""
    marks = _ASCII_MARKS if page.glyphs.ellipsis == ASCII.ellipsis else _MARKS
    return marks.get(level, " ")


def swatch(page: Page, levels: Iterable[int], width: int = 1) -> Text:
    """Return a strip of levels, `width` cells each, in their colours or as marks; a track where it is 0."""
    from rich.text import Text

    text = Text()
    for each in levels:
        background = style(page, each).rpartition(" ")[2]
        if not each:
            text.append(page.glyphs.track * width, "dim")
        elif background:  # cells of the foreground: blanks at a line's end would be stripped
            text.append((page.glyphs.levels[-1]) * width, background)
        else:
            text.append(mark(page, each) * width)
    return text


def _coloured(page: Page, row: Sequence[Cell]) -> Text:
    from rich.text import Text

    text = Text()
    for cell in row:
        text.append(cell.text, style(page, cell.level))
    return text
