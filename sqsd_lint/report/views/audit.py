"""One finding on the screen, with as much of its row as somebody needs to judge it."""

from __future__ import annotations

from typing import IO

from rich.text import Text

from sqsd_lint.common.escape import escape
from sqsd_lint.report.head import STYLES, mark
from sqsd_lint.report.style.page import open_page
from sqsd_lint.types import Violation

_LINES = 24
_CHARACTERS = 3000


def print_finding(
    stream: IO[str], violation: Violation, number: int, of: int, *, state: str = "", redact: bool = False
) -> None:
    """Print a finding: where it is, what is found, the row's text.

    Args:
        state: what was answered before, in words.
    """
    page = open_page(stream)
    answered = f"{page.glyphs.dot}{state}" if state else ""
    page.line(
        Text.assemble(
            (f"{number} of {of}", "bold"), (f"  {escape(str(violation.where))}", "bold cyan"), answered
        )
    )
    colour = STYLES[violation.severity]
    head = Text.assemble(mark(page, violation.severity), (f" {violation.rule}", f"bold {colour}"))
    page.line(head.append(f"  {escape(violation.name)}"), 2)
    page.line(Text(escape(violation.message)), 2)
    if redact:
        page.line(Text(f"fingerprint {escape(violation.fingerprint)}", "dim"), 2)
    elif violation.excerpt:
        for line in _text(violation.excerpt, page.glyphs.ellipsis):
            page.line(Text(f"{page.glyphs.gutter} {line}", "dim"), 2, hang=2)


def _text(raw: str, ellipsis: str) -> list[str]:
    """The row's text line by line, every line escaped, cut where it is very long."""
    lines = raw[:_CHARACTERS].replace("\r\n", "\n").strip("\n").split("\n")
    shown = [escape(line) for line in lines[:_LINES]]
    if len(raw) > _CHARACTERS or len(lines) > _LINES:
        shown.append(ellipsis)
    return shown
