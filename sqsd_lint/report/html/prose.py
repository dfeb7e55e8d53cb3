"""Sentences in which commands stand in backticks."""

from __future__ import annotations

from sqsd_lint.report.safe import escape


def prose(text: str) -> list[tuple[str, bool]]:
    """The escaped pieces of a sentence, each with whether it stood in backticks."""
    return [(part, bool(at % 2)) for at, part in enumerate(escape(text).split("`")) if part]
