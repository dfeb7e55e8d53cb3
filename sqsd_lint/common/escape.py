r"""Text of unknown origin, made fit for a terminal, a log or a JSON file.

Rows, file names and error messages may hold escape sequences that repaint a terminal, bidirectional
overrides that show another text than is there, invisible characters that smuggle one, or commands that
a CI runner obeys when it finds them in a log. Every such character becomes a visible escape (`\x1b`,
`\u202e`). A backslash of the text itself stays single: the output is for reading, not for parsing back.
"""

from __future__ import annotations

import re
import unicodedata

# Control, format, surrogate, private-use and line-separator characters, and letters that draw nothing.
# Written out, since asking unicodedata about every code point would cost 0.2 s at each start; a test
# compares the list with unicodedata's categories.
_UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f\xad"
    "\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\uf8ff\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\U000f0000-\U0010ffff"
    "]"
)
# GitHub obeys `::error::` at the start of a line, leading blanks aside (folding may put any word there), and
# GitHub, Azure and TeamCity obey `##[group]`, `##vso[...]`, `##teamcity[...]` anywhere in it.
_COLON_COMMAND = re.compile(
    r"(?<!\S)::|::(?=(?:add-|debug|echo|endgroup|error|group|notice|remove-|save-|set-|stop-|warning))", re.I
)
_HASH_COMMAND = re.compile(r"##(?=\w*\[)")
_HALF_ESCAPE = re.compile(r"\\(?:x[0-9a-f]?|u[0-9a-f]{0,3}|U[0-9a-f]{0,7})?$")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Vietnamese, Hebrew and Thai stack up to three marks on a letter; taller towers paint over other lines.
_MARKS_AT_MOST = 3


def escape(text: str) -> str:
    """Return `text` on one line, each unsafe character replaced by a visible escape."""
    if not (text.isascii() and text.isprintable()):
        text = _UNSAFE.sub(_visible, text)
        if not text.isascii():
            text = _limit_marks(text)
    if "::" in text:
        text = _COLON_COMMAND.sub(r"\\x3a:", text)
    if "##" in text:
        text = _HASH_COMMAND.sub(r"#\\x23", text)
    return text


def excerpt(text: str, width: int, ellipsis: str = "…") -> str:
    """Escape the start of `text` and cut it to `width` terminal cells, wide characters counted as two.

    Only as much as can be shown is looked at, so a row of a megabyte costs no more than a short one.
    """
    shown = text[: width * (_MARKS_AT_MOST + 1) + 1]
    whole = len(shown) == len(text)
    safe = escape(shown.strip() if whole else shown.lstrip())
    if whole and cells(safe) <= width:
        return safe
    cut = _cut(safe, max(width - len(ellipsis), 0))
    return _HALF_ESCAPE.sub("", cut).rstrip() + ellipsis


def cells(text: str) -> int:
    """Return how many terminal cells `text` takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def well_formed(text: str) -> str:
    """Replace lone surrogates, which no UTF-8 file and no strict JSON reader accepts, by U+FFFD."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _visible(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _limit_marks(text: str) -> str:
    out: list[str] = []
    run = 0
    for char in text:
        run = run + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        out.append(char if run <= _MARKS_AT_MOST else char.encode("unicode_escape").decode("ascii"))
    return "".join(out)


def _cut(text: str, width: int) -> str:
    from rich.cells import get_character_cell_size

    used = 0
    for end, char in enumerate(text):
        used += get_character_cell_size(char)
        if used > width:
            text = text[:end]
            break
    # A sequence may be wider than its characters are one by one (an emoji with its selector).
    while cells(text) > width:
        text = text[:-1]
    return text
