"""The report as one self-contained page: verdict, distribution of the scores, findings to sort and filter.

The page asks nothing of the network and runs nothing but its own script: a Content-Security-Policy in it
names the SHA-256 of that script and of the style sheet and forbids everything else. Text of unknown origin
goes through `report.safe` first and through the template's autoescaping second.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import IO

from sqsd_lint.report import Options
from sqsd_lint.report.html.view import page_view
from sqsd_lint.types import Report

_FOLDER = Path(__file__).resolve().parent


def write(report: Report, stream: IO[str], options: Options) -> None:
    """Writes the page; the same report gives the same bytes."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style, script = _read("style.css"), _read("script.js")
    page = environment.get_template("page.html.jinja").stream(
        page_view(report, options),
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )
    # A page of many findings is never one string in memory.
    page.enable_buffering(64)
    for part in page:
        stream.write(part)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """The source expression that lets a browser use exactly this inline text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
