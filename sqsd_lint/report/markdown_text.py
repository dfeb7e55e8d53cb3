r"""Foreign text inside Markdown, so that it stays text.

GitHub's Markdown turns text into links, images, HTML, mentions of people, references to issues and
commits, emoji and formulas, and lets a `|` or a line break end a table's cell. In a code span none of
that happens, so foreign text stands in code spans only. What could end one, a backtick, or a cell, a pipe,
becomes a visible escape, `\x60` and `\x7c`, as control characters do (`report.safe`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from sqsd_lint.report.safe import excerpt

_LONGEST = 600
_NAME = 80
# What no dialect of Markdown reads as anything else: letters with inner hyphens or apostrophes, a few digits
# after them, numbers, and punctuation around them. Seven hexadecimal digits might be a commit.
_PLAIN = re.compile(
    r"""
    (?! [0-9a-f]{7,}\b )
    \(?
    (?: [^\W\d_]+ (?: ['-] [^\W\d_]+ )* | [^\W\d_]+ \d{1,3} | [hpz]? \d+ (?: ,\d{3} )* (?: \.\d+ )? %? )?
    [).,;:?]*
    """,
    re.X,
)
_LIST_NUMBER = re.compile(r"\d+[.)]")


def code(text: str, cells: int = _LONGEST) -> str:
    """A code span that shows the start of `text`; empty where there is none."""
    return _span(excerpt(text, cells))


def prose(text: str) -> str:
    """A sentence of ours that may quote foreign text: plain words stay, everything else becomes code.

    What stands between two backticks is code as a whole.
    """
    out = []
    # Two code spans side by side would run into one another, so neighbours are one.
    for plain, run in groupby(_pieces(excerpt(text, _LONGEST)), key=lambda piece: piece[0]):
        joined = "".join(part for _, part in run)
        body = joined.strip()
        before, _, after = joined.partition(body) if body else (joined, "", "")
        out.append(joined if plain else f"{before}{_span(body)}{after}")
    return "".join(out)


def words(text: str) -> str:
    """A name or a number: as it is where it means nothing in Markdown, else as code."""
    shown = excerpt(text, _NAME)
    return shown if all(map(_is_plain, shown.split())) else _span(shown)


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Pieces of `text` in order, and whether each may stand as it is."""
    quoted = text.split("`")
    balanced = len(quoted) % 2 == 1
    if not balanced:  # a backtick too many: none of them means anything
        quoted = [text]
    for at, part in enumerate(quoted):
        if at % 2:
            yield False, part
            continue
        for word in re.findall(r"\s+|\S+", part):
            yield _is_plain(word) and not _LIST_NUMBER.fullmatch(word), word


def _is_plain(word: str) -> bool:
    return _PLAIN.fullmatch(word.strip()) is not None


def _span(shown: str) -> str:
    """A code span around text that is escaped already."""
    text = shown.replace("`", r"\x60").replace("|", r"\x7c")
    return f"`{text}`" if text.strip() else ""
