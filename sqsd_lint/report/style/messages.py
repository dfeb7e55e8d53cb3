"""Print on standard error: errors with their remedy, and small notes."""

from __future__ import annotations

import sys
from typing import IO

from rich.text import Text

from sqsd_lint.common.escape import escape
from sqsd_lint.report.style.page import open_page


def print_error(
    message: str, hint: str | None = None, *, trace: str = "", stream: IO[str] | None = None
) -> None:
    """Print `error: ...` and `help: ...`, escaped, after the lines of a traceback if there is one."""
    page = open_page(sys.stderr if stream is None else stream)
    for line in trace.splitlines():
        page.line(Text(escape(line), "dim"))
    page.line(Text.assemble(("error: ", "bold red"), page.prose(escape(message))), hang=7)
    if hint:
        page.line(Text.assemble(("help: ", "cyan"), page.prose(escape(hint))), hang=6)


def print_note(text: str, *, stream: IO[str] | None = None) -> None:
    """Print one dim line."""
    page = open_page(sys.stderr if stream is None else stream)
    page.line(Text(escape(text), "dim"))
