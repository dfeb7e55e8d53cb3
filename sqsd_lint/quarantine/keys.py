"""What makes two rows the same: all of their content, other than a fingerprint, which leaves metadata out."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import Any

from sqsd_lint.errors import SqsdLintError
from sqsd_lint.read import read_rows
from sqsd_lint.types import Problem


def key_of(raw: Any) -> bytes:
    """A 128-bit digest of a row as it was decoded."""
    return blake2b(repr(raw).encode("utf-8", "backslashreplace"), digest_size=16).digest()


def keys_in(file: str) -> Counter[bytes]:
    """The keys of the rows in a quarantine file, with how often each occurs.

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
