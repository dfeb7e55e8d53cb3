"""Write self-contained HTML pages: a template that escapes, and a policy that lets nothing else in.

A page asks nothing of the network. Its Content-Security-Policy names the SHA-256 of the style sheet and
of the script that stand in it, and forbids everything else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

_TEMPLATE = "page.html.jinja"


def write_page(folder: Path, view: Mapping[str, Any], stream: IO[str]) -> None:
    """Write a folder's `page.html.jinja` with its `style.css` and, if there is one, its `script.js`.

    Args:
        view: what the template shows. The template sees the style sheet as `style`, its hash as
            `style_hash`, and the script likewise.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    inline: dict[str, str] = {}
    for name, file in (("style", "style.css"), ("script", "script.js")):
        if (folder / file).is_file():
            text = (folder / file).read_text(encoding="utf-8")
            inline |= {name: Markup(text), f"{name}_hash": _hash(text)}
    page = environment.get_template(_TEMPLATE).stream(view, **inline)
    # A page of many findings is never one string in memory.
    page.enable_buffering(64)
    for part in page:
        stream.write(part)


def _hash(text: str) -> str:
    """Return the source expression that lets a browser use exactly this inline text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
