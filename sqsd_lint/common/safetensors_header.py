"""What a safetensors file holds, read from its header: no weights, no torch, no numpy.

The format: 8 bytes of little-endian header length, a JSON header
`{name: {"dtype", "shape", "data_offsets": [begin, end]}}`, then the bytes of every tensor.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

from sqsd_lint.common.strict_json import without_duplicates

_MAX_HEADER = 100_000_000
_CHUNK = 1 << 22
# Bytes per element of every dtype that a model or an adapter is stored in.
_SIZES = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2,
    "I16": 2, "U16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: `start` and `end` are byte positions in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Return the tensors of a safetensors file by name.

    Raises:
        ValueError: the file is no safetensors file, or its header does not fit its size.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= length <= min(_MAX_HEADER, size - 8):
            raise ValueError("not a safetensors file")
        raw = file.read(length)
    try:
        header = json.loads(raw, object_pairs_hook=without_duplicates)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    header.pop("__metadata__", None)
    return {name: _info(name, entry, 8 + length, size) for name, entry in header.items()}


def _info(name: str, entry: object, base: int, size: int) -> TensorInfo:
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]  # type: ignore[index]
        ok = all(type(n) is int and n >= 0 for n in (begin, end, *shape))
        ok = ok and isinstance(dtype, str) and begin <= end <= size - base
        # A dtype that this page does not know is passed through; its length is then not judged.
        ok = ok and end - begin == prod(shape) * _SIZES.get(dtype, 0) if dtype in _SIZES else ok
    except (TypeError, KeyError, ValueError):
        ok = False
    if not ok:
        raise ValueError(f"tensor {name!r} has a damaged entry in the header")
    return TensorInfo(name, dtype, tuple(shape), base + begin, base + end)


def content_lines(path: Path) -> list[str]:
    """Return `name dtype shape sha256-of-its-bytes` per tensor: independent of shards and header order."""
    lines = []
    with path.open("rb") as file:
        for info in sorted(read_header(path).values(), key=lambda t: t.start):
            file.seek(info.start)
            digest, left = hashlib.sha256(), info.end - info.start
            while left:
                block = file.read(min(_CHUNK, left))
                if not block:
                    raise ValueError("the file is cut short")
                digest.update(block)
                left -= len(block)
            shape = "x".join(map(str, info.shape))
            lines.append(f"{json.dumps(info.name)} {info.dtype} {shape} {digest.hexdigest()}")
    return lines


def all_zero(path: Path) -> set[str]:
    """Return the names of the tensors of a file that hold nothing but zeros."""
    import numpy as np

    zero = set()
    with path.open("rb") as file:
        for info in read_header(path).values():
            kind = {"F64": "<u8", "F32": "<u4", "F16": "<u2", "BF16": "<u2"}.get(info.dtype, "u1")
            file.seek(info.start)
            values = np.frombuffer(file.read(info.end - info.start), dtype=kind)
            # The first bit of a float is its sign, which zero has, too.
            if not np.any(values if kind == "u1" else values << 1):
                zero.add(info.name)
    return zero


def non_finite(path: Path) -> list[str]:
    """Return names of the floating-point tensors of a file that hold a NaN or an infinity."""
    import numpy as np

    # Sign aside, a float is NaN or infinite exactly when all its exponent bits are set.
    exponents = {"F64": ("<u8", 0x7FF << 52), "F32": ("<u4", 0xFF << 23), "F16": ("<u2", 0x1F << 10),
                 "BF16": ("<u2", 0xFF << 7)}  # fmt: skip
    bad = []
    with path.open("rb") as file:
        for info in read_header(path).values():
            if info.dtype not in exponents:
                continue
            kind, bits = exponents[info.dtype]
            file.seek(info.start)
            values = np.frombuffer(file.read(info.end - info.start), dtype=kind)
            if bool(np.any((values & values.dtype.type(bits)) == bits)):
                bad.append(info.name)
    return bad
