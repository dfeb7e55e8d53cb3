"""Reading the small files of a policy, which may come with a pull request."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from sqsd_lint.errors import ConfigError


def read_limited(path: Path, name: str, most: int) -> bytes:
    """The content of a file of at most `most` bytes.

    Raises:
        ConfigError: it is larger, or cannot be read.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(most + 1)
    except OSError as fault:
        raise ConfigError(f"{name}: cannot be read: {fault.strerror}") from None
    if len(data) > most:
        raise ConfigError(f"{name}: larger than {most:,} bytes, too large for such a file")
    return data


def load_json(data: bytes, name: str, kind: str, *, hint: str) -> Any:
    """Decodes JSON that holds no key twice and no NaN, which would pass every comparison.

    Args:
        kind: what the file should be, "a rule pack".

    Raises:
        ConfigError: it is no such JSON.
    """
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_number
        )
    except (ValueError, RecursionError) as fault:
        raise ConfigError(f"{name}: not {kind}: {fault}", hint=hint) from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses a key given twice: a reviewer reads the first, JSON keeps the last."""
    table = dict(pairs)
    if len(table) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"the key {twice!a} is given twice")
    return table


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")
