"""The report as one self-contained page: verdict, distribution of the scores, findings to sort and filter.

The page asks nothing of the network and runs nothing but its own script: a Content-Security-Policy in it
names the SHA-256 of that script and of the style sheet and forbids everything else. Text of unknown origin
goes through `report.safe` first and through the template's autoescaping second.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

from sqsd_lint.report import Options
from sqsd_lint.report.formats.html.view import page_view
from sqsd_lint.report.style.html_page import write_page
from sqsd_lint.types import Report


def write(report: Report, stream: IO[str], options: Options) -> None:
    """Write the page; the same report gives the same bytes."""
    write_page(Path(__file__).resolve().parent, page_view(report, options), stream)
