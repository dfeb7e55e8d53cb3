"""Write an explanation in the formats that people and programs read: text, json, html."""

from __future__ import annotations

from importlib import import_module
from typing import IO

from sqsd_lint.errors import UsageError
from sqsd_lint.explain import Explanation
from sqsd_lint.report import Options

FORMATS = ("text", "json", "html")
TOP = 5


def write(
    explanation: Explanation,
    format: str,
    stream: IO[str],
    options: Options | None = None,
    *,
    top: int = TOP,
) -> None:
    """Write `explanation` to `stream` in one of `FORMATS`.

    Args:
        options: `redact` and `width` count.
        top: how many parts of the answer are listed (text, html); json holds all of them.

    Raises:
        UsageError: no such format.
    """
    if format not in FORMATS:
        raise UsageError(
            f"no format {format!r} of an explanation", hint=f"choose one of: {', '.join(FORMATS)}"
        )
    import_module(f"{__name__}.{format}").write(explanation, stream, options or Options(), top)
