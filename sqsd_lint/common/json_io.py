"""Digests of files and JSON values, and JSON files that are written whole or not at all.

Small JSON objects beside the cache: what is lost with one costs the next run a little time, no more.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_small_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty where there is none that can be read."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def write_small_json(path: Path, value: Mapping[str, Any]) -> None:
    """Put an object in place of the file, whole; a folder that cannot be written is passed over."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(value, indent=1), encoding="utf-8")
        os.replace(temporary, path)
    except OSError:
        pass


_MAX_JSON = 64 << 20


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_text(text: str) -> str:
    """Hex SHA-256 of a text's UTF-8 bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def canonical(value: Any) -> str:
    """JSON with sorted keys, no blanks and ASCII only: equal values give equal text on every machine."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: Any) -> str:
    """Hex SHA-256 of a value's canonical JSON."""
    return sha256_text(canonical(value))


def read_json(path: Path, *, limit: int = _MAX_JSON) -> Any:
    """The value in a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger than `limit` bytes, not UTF-8, not JSON, nested too deeply, or holds NaN.
    """
    if path.stat().st_size > limit:
        raise ValueError(f"larger than {limit >> 20} MiB")
    try:
        return json.loads(path.read_text("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed")


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON, as `write_whole` does."""
    write_whole(path, _pretty(value) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write UTF-8 next to `path` and rename it into place: a reader never sees half of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _pretty(value: Any) -> str:
    """Indented JSON with each list of numbers on one line; a string never holds a raw line break."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return re.sub(
        r"\[\n\s+[-\d][-+.\deE,\s]*\]",
        lambda m: re.sub(r"\s+", " ", m[0]).replace("[ ", "[").replace(" ]", "]"),
        text,
    )
