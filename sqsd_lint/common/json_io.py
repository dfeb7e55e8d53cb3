"""JSON files of any program, written whole or not at all, and SHA-256 of files, texts and JSON values."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqsd_lint.common.atomic import write_whole
from sqsd_lint.common.strict_json import read_bytes, refuse_constant

_MAX_JSON = 64 << 20


def sha256_file(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_text(text: str) -> str:
    """Return the hex SHA-256 of a text's UTF-8 bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def canonical(value: Any) -> str:
    """Return JSON with sorted keys, no blanks and ASCII only: the same for equal values on every machine."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: Any) -> str:
    """Return the hex SHA-256 of a value's canonical JSON."""
    return sha256_text(canonical(value))


def read_json(path: Path, *, limit: int = _MAX_JSON) -> Any:
    """Return the value in a JSON file of another program; a key that is there twice has its last value.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger than `limit` bytes, not UTF-8, not JSON, nested too deeply, or holds NaN.
    """
    data = read_bytes(path, limit)
    try:
        return json.loads(data.decode("utf-8"), parse_constant=refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON, whole or not at all."""
    write_whole(path, _pretty(value) + "\n")


def read_small_json(path: Path) -> dict[str, Any]:
    """Return the object in a file that the cache can do without; empty where none can be read."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def write_small_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object that `read_small_json` reads; a folder that cannot be written is passed over."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(value, indent=1))


def _pretty(value: Any) -> str:
    """Return indented JSON with each list of numbers on one line; a string never holds a raw line break."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return re.sub(
        r"\[\n\s+[-\d][-+.\deE,\s]*\]",
        lambda m: re.sub(r"\s+", " ", m[0]).replace("[ ", "[").replace(" ]", "]"),
        text,
    )
