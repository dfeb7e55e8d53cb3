"""The rules' documentation on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

from sqsd_lint.report.style.page import Page, open_page
from sqsd_lint.rules.rule import Rule


def print_pages(pages: Sequence[str], stream: IO[str]) -> None:
    """Render Markdown pages on a terminal; a pipe gets the Markdown itself."""
    page = open_page(stream)
    for number, text in enumerate(pages):
        if number:
            stream.write("\n")
        if page.wraps:
            _render(page, text)
        else:
            stream.write(text.rstrip() + "\n")


def print_rules(rules: Sequence[Rule], stream: IO[str]) -> None:
    """List rules: code, name, severity, summary."""
    from rich.text import Text

    from sqsd_lint.report.head import STYLES

    page = open_page(stream)
    width = max(len(rule.name) for rule in rules)
    for rule in rules:
        colour = STYLES[rule.severity]
        page.line(
            Text.assemble(
                (rule.code, f"bold {colour}"), f"  {rule.name:<{width}}  ", (rule.severity.value, colour)
            )
        )
        page.line(Text(f"{rule.summary}.", "dim"), indent=9)


def _render(page: Page, text: str) -> None:
    from rich.markdown import Markdown
    from rich.padding import Padding
    from rich.theme import Theme

    theme = Theme({"markdown.code": "bold cyan", "markdown.h1": "bold", "markdown.h2": "bold cyan"})
    with page.console.use_theme(theme):
        page.console.print(
            Padding(Markdown(text, code_theme="ansi_dark", hyperlinks=False), (0, 2)), width=page.width
        )
