"""Rows out of a file, with true line numbers: one module per format, streamed, hostile input expected.

What cannot be read comes out as a Problem in its place: SQSD303 for a row, SQSD304 for a file or the rest of
one. Nothing is skipped in silence, and no content of a file raises.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import BinaryIO

from sqsd_lint.read.formats import SUFFIXES, format_of
from sqsd_lint.read.limits import Limits
from sqsd_lint.read.printed import refuse_printed
from sqsd_lint.read.problems import Unreadable, unreadable_file
from sqsd_lint.read.source import open_source
from sqsd_lint.types import Problem, Row

__all__ = ["DEFAULT_LIMITS", "SUFFIXES", "Limits", "read_rows"]

DEFAULT_LIMITS = Limits()


def read_rows(
    path: str,
    *,
    limits: Limits = DEFAULT_LIMITS,
    stdin: BinaryIO | None = None,
    stdin_format: str = "jsonl",
    shown: str | None = None,
    pass_by: Callable[[str], None] | None = None,
) -> Iterator[Row | Problem]:
    """Yield the rows of a file in order, and a Problem for each row or rest of the file that is unreadable.

    Args:
        path: a file whose suffix (SUFFIXES) names its format, or "-" for standard input.
        limits: what a row and a file may cost.
        stdin: the binary stream that "-" reads; the process's standard input by default.
        stdin_format: the format of "-", a text suffix without its first dot: "jsonl", "csv", "jsonl.gz".
        shown: the name that stands for `path` in what is yielded and decides the format: that of the file of
            which `path` is a copy.
        pass_by: takes the name of each file in an archive that is not read.

    Yields:
        Row with `raw` as decoded (a dict, unless the file holds something else), `where.line` the 1-based
        line on which it starts (in Parquet and Arrow its 1-based number), `where.index` its 0-based number,
        malformed rows counted, and `span` its bytes in the decompressed content, where it has any of its own.
        An SQSD304 is always the last; its line is where reading stopped.
    """
    label = "<stdin>" if path == "-" else shown or path
    try:
        form = format_of(f".{stdin_format}" if path == "-" else label)
        with open_source(path, limits, form=form, stdin=stdin, shown=shown) as source:
            if pass_by is not None:
                source = replace(source, pass_by=pass_by)
            for item in form.reader(source):
                if isinstance(item, Row):
                    refuse_printed(item)
                yield item
    except Unreadable as error:
        yield unreadable_file(label, error)
    except FileNotFoundError:
        yield _failed(label, "no such file", "check the path")
    except PermissionError:
        yield _failed(label, "permission denied", "make the file readable")
    except EOFError:
        yield _failed(
            label, "cut off: the compressed data ends too early", "fetch or compress the file again"
        )
    except zlib.error as error:
        yield _failed(label, f"damaged: {error}", "fetch or compress the file again")
    except OSError as error:
        yield _failed(label, f"cannot be read: {error.strerror or error}", "check the file and its disk")
    except MemoryError:
        yield _failed(label, "does not fit into memory", "split the file into smaller ones")


def _failed(label: str, message: str, hint: str) -> Problem:
    return unreadable_file(label, Unreadable(message, hint=hint))
