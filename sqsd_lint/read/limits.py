"""How much of a hostile file is read before reading stops."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 2**10
MIB = 2**20
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Limits:
    """What a row and a file may cost; a row over a limit is SQSD303, a file SQSD304.

    Attributes:
        max_line_bytes: bytes of one row: a line of JSON Lines, a CSV record, an element of a JSON array,
            the values of one Parquet or Arrow row.
        max_depth: levels of nesting in a row; a flat row has one.
        max_file_bytes: bytes of the file as it lies on disk, or of standard input.
        max_decompressed_bytes: bytes that a compressed file may unfold to.
        max_ratio: decompressed bytes per compressed byte. Text seldom exceeds 20; gzip cannot exceed 1032.
            Files below 64 KiB count as that large.
    """

    max_line_bytes: int = 16 * MIB
    max_depth: int = 64
    max_file_bytes: int = 8 * GIB
    max_decompressed_bytes: int = 8 * GIB
    max_ratio: int = 1000

    def unfolded_at_most(self, size: int) -> int:
        """Bytes that `size` compressed bytes may unfold to."""
        # Small files may be all padding.
        return min(self.max_decompressed_bytes, self.max_ratio * max(size, 64 * KIB))


def in_words(size: int) -> str:
    """Return a number of bytes as people write it: `in_words(16 * MIB)` is "16 MiB"."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return f"{size} bytes"
