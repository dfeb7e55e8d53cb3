"""Print what `doctor` finds there and missing, one line each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import IO, Literal, Protocol

from rich.text import Text

from sqsd_lint.common import numbers
from sqsd_lint.common.escape import escape
from sqsd_lint.report import fields
from sqsd_lint.report.style.page import open_page

_LABEL = 15
_STYLES = {"ok": "green", "note": "yellow", "missing": "red"}


class ShownFact(Protocol):
    """One line; `hint` is what mends it."""

    @property
    def name(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def level(self) -> Literal["ok", "note", "missing"]: ...
    @property
    def hint(self) -> str: ...


def print_facts(facts: Iterable[ShownFact], stream: IO[str]) -> list[ShownFact]:
    """Print every fact as it comes, then whether a check could run; return them all."""
    page = open_page(stream)
    glyphs = {"ok": page.glyphs.clear, "note": page.glyphs.warning, "missing": page.glyphs.error}
    width = max(len(glyph) for glyph in glyphs.values())
    said = []
    for fact in facts:
        said.append(fact)
        line = Text.assemble(
            (f"{glyphs[fact.level]:<{width}} ", f"bold {_STYLES[fact.level]}"),
            (f"{escape(fact.name):<{_LABEL}} ", "bold"),
            escape(fact.text),
        )
        hang = width + _LABEL + 2
        page.line(line, hang=hang)
        if fact.hint:
            page.line(Text.assemble(("help: ", "cyan"), page.prose(escape(fact.hint))), hang, hang=6)
        stream.flush()
    page.line()
    missing = missing_facts(said)
    if missing:
        text = f"{numbers.count(len(missing), 'fault')}: a check cannot run here."
        page.line(Text(text, "bold red"))
    else:
        page.line(Text("A check can run here.", "bold green"))
    return said


def print_facts_json(facts: Sequence[ShownFact], stream: IO[str]) -> None:
    """Print the same as one JSON object."""
    document = {
        "version": fields.VERSION,
        "ready": not missing_facts(facts),
        "facts": [
            {"name": each.name, "level": each.level, "text": each.text, "hint": each.hint or None}
            for each in facts
        ],
    }
    stream.write(fields.dump(document, indent=2) + "\n")


def missing_facts(facts: Iterable[ShownFact]) -> list[ShownFact]:
    """Return the facts without which no check can run."""
    return [fact for fact in facts if fact.level == "missing"]
