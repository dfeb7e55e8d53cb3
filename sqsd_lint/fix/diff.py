"""What `--fix` would do, laid out as a unified diff without context."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import IO

from sqsd_lint.common.escape import escape
from sqsd_lint.errors import SqsdLintError
from sqsd_lint.fix.content import NOWHERE, opener
from sqsd_lint.fix.plan_types import FilePlan, Move, Plan
from sqsd_lint.fix.texts import copy_without
from sqsd_lint.read import read_rows
from sqsd_lint.read.problems import Unreadable
from sqsd_lint.types import Row

# A row may be as long as a book: of each, so many lines of so many characters are shown.
_LINES = 40
_WIDTH = 2000


def write_diff(plan: Plan, stream: IO[str], *, redact: bool = False) -> None:
    """Write the rows that would move, each below its violations, escaped; no file is written.

    Args:
        redact: show fingerprints in place of text.

    Raises:
        SqsdLintError: a file cannot be read any more.
    """
    for file in plan.files:
        stream.write(f"--- {escape(file.file)}\n+++ {escape(file.quarantine)}\n")
        texts = (f"fingerprint {m.violations[0].fingerprint}" for m in file.moves) if redact else _texts(file)
        try:
            for move, text in zip(file.moves, texts, strict=True):
                stream.write(_hunk(move, text))
        except (OSError, EOFError, ValueError, zlib.error, Unreadable) as error:
            raise SqsdLintError(
                f"{file.file}: cannot be read any more: {error or 'cut off'}",
                hint="run the same command again",
            ) from error


def _hunk(move: Move, text: str) -> str:
    why = "; ".join(escape(f"{v.rule} {v.name}: {v.message}") for v in move.violations)
    lines = text.rstrip("\r\n").split("\n")
    shown = [f"-{_cut(line.rstrip(chr(13)))}\n" for line in lines[:_LINES]]
    if len(lines) > _LINES:
        shown.append(f"\\ {len(lines) - _LINES:,} more lines\n")
    return f"@@ -{move.where.line} @@ {why}\n{''.join(shown)}"


def _cut(line: str) -> str:
    more = len(line) - _WIDTH
    return escape(line) if more <= 0 else f"{escape(line[:_WIDTH])} [{more:,} more characters]"


def _texts(plan: FilePlan) -> Iterator[str]:
    """Yield the rows as they stand in the file; those of Parquet and Arrow as JSON."""
    if plan.moves[0].span is None:
        moved = {move.where.index for move in plan.moves}
        for item in read_rows(plan.file):
            if isinstance(item, Row) and item.where.index in moved:
                yield json.dumps(item.raw, ensure_ascii=False, default=str)
        return
    spans = [move.span for move in plan.moves if move.span is not None]
    for row in copy_without(opener(plan.file), spans, NOWHERE):
        yield row.decode("utf-8", "backslashreplace")
