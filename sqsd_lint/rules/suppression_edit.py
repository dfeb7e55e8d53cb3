"""Add or replace an entry of the file of suppressions as text, so that all else in it stays as it is."""

from __future__ import annotations

import json
import re

from sqsd_lint.errors import ConfigError
from sqsd_lint.rules.suppressions import SuppressionEntry, Suppressions, parse_suppressions
from sqsd_lint.types import Suppression

HEADING = """\
# Findings that somebody has looked at and accepted: a table for each row, by its fingerprint.
# `sqsd-lint suppress FILE:LINE --reason "..."` adds one; a row that is changed is another row.
"""


def merged(old: SuppressionEntry | None, codes: tuple[str, ...], reason: str, file: str) -> SuppressionEntry:
    """Return the entry that silences these rules as well as those of the entry that is there."""
    known = old.suppression.codes if old else ()
    return SuppressionEntry(Suppression(tuple(sorted({*known, *codes})), reason), file)


def with_entry(text: str, fingerprint: str, entry: SuppressionEntry, old: Suppressions) -> str:
    """Return the content of the file with an entry in place of the row's old one, or at its end.

    Args:
        text: the content; empty for a new file.
        old: what it holds.

    Raises:
        ConfigError: the text is laid out in a way that cannot be edited without a loss.
    """
    block = _block(fingerprint, entry)
    if fingerprint in old.entries:
        new = _replaced(text, fingerprint, block)
    else:
        before = text if text.strip() else HEADING
        new = before.rstrip("\n") + "\n\n" + block
    wanted = {**old.entries, fingerprint: entry}
    try:
        is_right = (
            parse_suppressions(new.encode("utf-8"), source=old.source, folder=old.folder).entries == wanted
        )
    except (ConfigError, UnicodeEncodeError):
        is_right = False
    if not is_right:
        raise ConfigError(
            f"{old.source}: cannot be edited without touching more than one entry",
            hint=f"Write it by hand:\n{block}",
        )
    return new


def _replaced(text: str, fingerprint: str, block: str) -> str:
    """Return the text with one table replaced; blank lines and comments behind it stay."""
    lines = text.splitlines(keepends=True)
    heads = [at for at, line in enumerate(lines) if re.match(r"\s*\[", line)]
    own = re.compile(rf"\s*\[\s*[\"']?{fingerprint}[\"']?\s*\]\s*(#.*)?$")
    start = next((at for at in heads if own.match(lines[at].rstrip("\r\n"))), None)
    if start is None:
        return text  # written in another form, which the check of the result refuses
    end = min((at for at in heads if at > start), default=len(lines))
    while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return "".join([*lines[:start], block, *lines[end:]])


def _block(fingerprint: str, entry: SuppressionEntry) -> str:
    lines = [
        f"[{fingerprint}]",
        f"ignore = {json.dumps(list(entry.suppression.codes))}",
        f"reason = {_quoted(entry.suppression.reason)}",
    ]
    if entry.file:
        lines.append(f"file = {_quoted(entry.file)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a TOML basic string: JSON's escapes, and DEL, which TOML wants escaped as well."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
