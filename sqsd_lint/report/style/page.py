"""Set up the page that the text report is written on: colour or none, width, and glyphs that it can show."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Longer lines than this are hard to read, however wide the terminal.
_WIDEST = 120
_PIPE_WIDTH = 80
_PIPE_EXCERPT = 160


@dataclass(frozen=True)
class Glyphs:
    """The few characters beyond ASCII that the report uses, or what stands in for them."""

    error: str = "✗"
    warning: str = "!"
    clear: str = "✓"
    dot: str = " · "
    arrow: str = "→"
    gutter: str = "│"
    at_least: str = "≥"
    ellipsis: str = "…"
    bar: str = "━"
    half: str = "╸"
    track: str = "─"
    levels: str = "▁▂▃▄▅▆▇█"
    tick: str = "┴"


ASCII = Glyphs(
    error="x",
    warning="!",
    clear="ok",
    dot=", ",
    arrow="->",
    gutter="|",
    at_least=">=",
    ellipsis="...",
    bar="=",
    half="-",
    track=".",
    levels="#",
    tick="+",
)


@dataclass(frozen=True)
class Page:
    """Where the text report goes.

    Attributes:
        width: cells that tables and bars are laid out for.
        wraps: whether long text is folded to `width`: on a terminal only, since a pipe's reader may
            search for the text.
        excerpt_width: cells that an excerpt may take.
    """

    console: Console
    glyphs: Glyphs
    width: int
    wraps: bool

    @property
    def excerpt_width(self) -> int:
        return self.width if self.wraps else _PIPE_EXCERPT

    def prose(self, text: str) -> Text:
        """Set what stands in backticks in bold; without colour the backticks stay."""
        from rich.text import Text

        if not self.console.color_system:
            return Text(text)
        parts = text.split("`")
        return Text.assemble(*((part, "bold" if at % 2 else "") for at, part in enumerate(parts)))

    def line(self, text: Text | str = "", indent: int = 0, hang: int = 0) -> None:
        """Print `text`; where the page wraps, it is folded behind its indentation.

        Args:
            indent: cells before every line.
            hang: further cells before every line but the first.
        """
        from rich.text import Text

        text = Text(text) if isinstance(text, str) else text
        room = self.width - indent
        folds = self.wraps and text.cell_len > room
        for part in text.wrap(self.console, room - hang, tab_size=1) if folds else [text]:
            part.rstrip()
            self.console.print(Text(" " * indent) + part if indent else part, soft_wrap=True)
            indent, hang = indent + hang, 0


def open_page(stream: IO[str], width: int | None = None, environ: Mapping[str, str] | None = None) -> Page:
    """Open a page on `stream`, as the environment has it (NO_COLOR, FORCE_COLOR, TERM, COLUMNS)."""
    from rich.console import Console

    class PlainConsole(Console):
        """A console that raises where Rich would end the process with 1, which means "violations"."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    environ = os.environ if environ is None else environ
    colour = use_colour(stream, environ)
    # Colour for a pipe of a given width is for whoever shows it as a terminal would: a log viewer, a picture.
    sized = width is not None or (colour and environ.get("COLUMNS", "").isdecimal())
    wraps = sized or _isatty(stream)
    console = PlainConsole(
        file=stream,
        force_terminal=colour,
        color_system="auto" if colour else None,
        width=width,
        highlight=False,
        markup=False,
        emoji=False,
        _environ=environ,
    )
    return Page(console, _glyphs(stream), min(console.width if wraps else _PIPE_WIDTH, _WIDEST), wraps)


def use_colour(stream: IO[str], environ: Mapping[str, str] | None = None) -> bool:
    """Return whether to use colour: NO_COLOR wins over FORCE_COLOR, which wins over what the stream is."""
    environ = os.environ if environ is None else environ
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return _isatty(stream) and environ.get("TERM") != "dumb"


def _isatty(stream: IO[str]) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def _glyphs(stream: IO[str]) -> Glyphs:
    every = "".join(str(value) for value in vars(Glyphs()).values())
    try:
        every.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return Glyphs()
