"""What makes two rows the same: all of their content, other than a fingerprint, which leaves metadata out.

Proof that a file which was written anew reads as the old one does without the rows that moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

from sqsd_lint.errors import SqsdLintError
from sqsd_lint.fix.plan_types import FilePlan
from sqsd_lint.read import read_rows
from sqsd_lint.types import Problem, Row


def require_same_rows(plan: FilePlan, new: str) -> None:
    """Compare the file of a plan with `new`, which is to take its place, row by row.

    Raises:
        SqsdLintError: they differ in more than the rows that moved.
    """
    moved = {move.where.index for move in plan.moves}
    old_rows = (row for n, row in enumerate(_rows(plan.file, plan.file)) if n not in moved)
    new_rows = _rows(new, plan.file)
    end = object()
    while True:
        old = next(old_rows, end)
        if old != next(new_rows, end):
            raise read_otherwise()
        if old is end:
            return


def read_otherwise() -> SqsdLintError:
    """Return the error of rows that cannot move without changing how the others are read."""
    return SqsdLintError(
        "without these rows the others would no longer be read as they are now",
        hint="take the rows out yourself, or convert the file to JSON Lines",
    )


def _rows(file: str, name: str) -> Iterator[Any]:
    """Yield the rows of a file in the format of another's name: a key of each, or what is wrong with it."""
    for item in read_rows(file, shown=name):
        yield key_of(item.raw) if isinstance(item, Row) else (item.code, item.excerpt)


def key_of(raw: Any) -> bytes:
    """Return a 128-bit digest of a row as it was decoded."""
    return blake2b(repr(raw).encode("utf-8", "backslashreplace"), digest_size=16).digest()


def keys_in(file: str) -> Counter[bytes]:
    """Return the keys of the rows in a quarantine file, with how often each occurs.

    Raises:
        SqsdLintError: it cannot be read to its end.
    """
    keys: Counter[bytes] = Counter()
    for item in read_rows(file):
        if not isinstance(item, Problem):
            keys[key_of(item.raw)] += 1
        elif item.code == "SQSD304":
            raise SqsdLintError(
                f"{item.where}: the quarantine file cannot be read: {item.message}",
                hint="repair it, or move it away: no row is added to a damaged file",
            )
    return keys
