"""Strict JSON, for what sqsd-lint writes or asks people to write: formats, and the files of a policy.

It holds no key twice, no NaN and no number beyond all floats: a reviewer reads the first of two keys and JSON
keeps the last, and NaN passes every comparison. Files of other programs are for `json_io.read_json`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from sqsd_lint.errors import ConfigError


def decode(data: bytes) -> Any:
    """Return the value of JSON that holds no key twice, no NaN and no number too large for a float.

    Raises:
        ValueError: it is no such JSON, not UTF-8, or nested too deeply.
    """
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=without_duplicates,
            parse_constant=refuse_constant,
            parse_float=_finite,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger.
    """
    with path.open("rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"larger than {limit >> 20} MiB")
    return data


def read_limited(path: Path, name: str, most: int) -> bytes:
    """Return the content of a policy's file, which may come with a pull request.

    Raises:
        ConfigError: it is larger than `most` bytes, or cannot be read.
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
    """Return what `decode` does of a policy's file.

    Args:
        kind: what the file should be, "a rule pack".

    Raises:
        ConfigError: it is no such JSON.
    """
    try:
        return decode(data)
    except ValueError as fault:
        raise ConfigError(f"{name}: not {kind}: {fault}", hint=hint) from None


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the table of an object's pairs, as `object_pairs_hook` of `json.loads`.

    Raises:
        ValueError: a key stands twice.
    """
    table = dict(pairs)
    if len(table) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"the key {twice!a} is given twice")
    return table


def refuse_constant(name: str) -> None:
    """Refuse NaN and infinities, which Python's JSON knows and no other."""
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is too large for a number")
    return value
