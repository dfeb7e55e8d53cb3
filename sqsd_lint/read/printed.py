"""Conversations that were printed instead of saved: Python's or numpy's text of a list in a cell or a string.

`DataFrame.to_csv` writes lists this way. No trainer reads it back as messages, and there is no safe way to
guess what it said, so the file is refused, once, with the way to save it properly.
"""

from __future__ import annotations

import re

from sqsd_lint.read.problems import Unreadable
from sqsd_lint.types import Row

_COLUMNS = frozenset(
    (
        *("messages", "conversations", "conversation", "dialog", "dialogue", "dialogs", "chat", "turns"),
        *("chosen", "rejected"),
    )
)
"""Columns whose text, if it looks like a list of messages, is meant as one."""

_LIST = re.compile(r"\s*(?:(?:np\.)?array\(\s*)?[\[(]\s*\{\s*'(?:role|from|content|value)'\s*:")
_NUMPY = re.compile(r"\s*(?:np\.)?array\(|[^,]*\}\s*\n\s*\{")
_STARTS = ("[", "(", "a", "n", " ", "\n", "\t", "\r")


def refuse_printed(row: Row) -> None:
    """Look for a conversation that was printed.

    Raises:
        Unreadable: the row holds one.
    """
    raw = row.raw
    if not isinstance(raw, dict):
        return
    for name in raw.keys() & _COLUMNS:
        value = raw[name]
        if isinstance(value, str) and value.startswith(_STARTS) and _LIST.match(value):
            numpy = _NUMPY.match(value) or "}\n" in value
            raise Unreadable(
                f"the column {name!r} holds a list as {'numpy' if numpy else 'Python'} prints it,"
                f" where JSON was expected: {value.strip()[:30]}",
                hint=f"save it as JSON, which keeps the list: df.to_json('rows.jsonl', orient='records',"
                f" lines=True), or before to_csv df[{name!r}] = df[{name!r}].map(lambda x:"
                f" json.dumps(list(x)))",
                line=row.where.line,
            )
