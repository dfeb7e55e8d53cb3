"""JSON Lines: one JSON value a line; a line that is none costs that row and no other.

Lines of a byte stream, each with its number and offset, none longer than the limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from json import JSONDecodeError

from sqsd_lint.read.decode import Decoder, not_json, too_deep
from sqsd_lint.read.limits import in_words
from sqsd_lint.read.problems import bad_utf8, malformed_row
from sqsd_lint.read.source import Source
from sqsd_lint.types import Problem, Row, Where


def numbered_lines(source: Source, before: int = 0) -> Iterator[tuple[int, int, bytes, bool]]:
    r"""Yield (1-based line number, byte offset in the file, line with its end, whether it was too long).

    Only "\n" ends a line. Of a line over max_line_bytes the start is delivered and the rest passed over.

    Args:
        before: lines of the file before the stream's first.
    """
    readline = source.stream.readline
    limit = source.limits.max_line_bytes
    number, offset = before, source.offset
    while line := readline(limit + 1):
        number += 1
        yield number, offset, line, len(line) > limit
        offset += len(line)
        while len(line) > limit and not line.endswith(b"\n"):
            line = readline(limit + 1)
            offset += len(line)


_BLANK = b" \t\r\n"


def read_lines(source: Source, lines: int = 0, rows: int = 0) -> Iterator[Row | Problem]:
    """Yield a Row for every line that is JSON and an SQSD303 for every other; blank lines are no rows.

    Args:
        lines, rows: of the file before the stream's first.
    """
    file, limits = source.file, source.limits
    decode = Decoder(limits.max_depth).decode
    index = rows - 1
    for line, offset, data, too_long in numbered_lines(source, lines):
        size = len(data)
        data = data.rstrip(b"\r\n")
        if not data.strip(_BLANK) and not too_long:
            continue
        index += 1
        where = Where(file, line, index)
        hint = ""
        try:
            if too_long:
                fault = f"longer than max_line_bytes ({in_words(limits.max_line_bytes)})"
            else:
                raw, fault = decode(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            fault, hint = bad_utf8(error, offset), "save the file as UTF-8"
        except JSONDecodeError as error:
            fault = not_json(error, line=line, column=error.pos + 1)
            hint = "write one JSON object a line; a file that is one JSON document ends in .json"
        except RecursionError:
            fault = too_deep(limits.max_depth)
        if fault:
            yield malformed_row(where, fault, hint=hint, text=data)
        else:
            yield Row(where, raw, (offset, offset + size))
