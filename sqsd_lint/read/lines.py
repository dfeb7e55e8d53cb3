"""Lines of a byte stream, each with its number and offset, none longer than the limit."""

from __future__ import annotations

from collections.abc import Iterator

from sqsd_lint.read.source import Source


def numbered_lines(source: Source) -> Iterator[tuple[int, int, bytes, bool]]:
    r"""Yield (1-based line number, byte offset in the file, line with its end, whether it was too long).

    Only "\n" ends a line. Of a line over max_line_bytes the start is delivered and the rest passed over.
    """
    readline = source.stream.readline
    limit = source.limits.max_line_bytes
    number, offset = 0, source.offset
    while line := readline(limit + 1):
        number += 1
        yield number, offset, line, len(line) > limit
        offset += len(line)
        while len(line) > limit and not line.endswith(b"\n"):
            line = readline(limit + 1)
            offset += len(line)
