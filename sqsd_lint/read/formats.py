"""Which suffix means which format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from sqsd_lint.discover.default_excludes import (
    ARCHIVE,
    BINARY,
    COMPRESSIONS,
    LINES,
    SUFFIXES,
    TEXT,
    base_suffix,
    compression_of,
)
from sqsd_lint.read.archive import read_archive
from sqsd_lint.read.arrow import read_arrow
from sqsd_lint.read.csv import read_csv
from sqsd_lint.read.json import read_json
from sqsd_lint.read.parquet import read_parquet
from sqsd_lint.read.problems import Unreadable
from sqsd_lint.read.source import Source
from sqsd_lint.types import Problem, Row

Reader = Callable[[Source], Iterator[Row | Problem]]


class Format(NamedTuple):
    """How a file is to be read.

    Attributes:
        suffix: of the format alone, ".jsonl".
        compression: "" or a suffix of COMPRESSIONS without its dot.
    """

    reader: Reader
    text: bool
    compression: str
    suffix: str


def format_of(name: str) -> Format:
    """Return the format of a file by its name.

    Raises:
        Unreadable: no known suffix.
    """
    base = base_suffix(name)
    if not base:
        known = ", ".join((*TEXT, *BINARY, ARCHIVE))
        packed = f"{', '.join(COMPRESSIONS[:-1])} or {COMPRESSIONS[-1]}"
        raise Unreadable(
            f"unknown format: the name ends in none of {known} (text formats also with {packed})",
            hint="convert the file, or give it the suffix of its format",
        )
    return Format(READERS[base], base in TEXT, compression_of(name).removeprefix("."), base)


def _read_zip(source: Source) -> Iterator[Row | Problem]:
    return read_archive(source, format_of)


READERS: dict[str, Reader] = {
    **dict.fromkeys((*LINES, ".json"), read_json),
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".arrow": read_arrow,
    ".feather": read_arrow,
    ARCHIVE: _read_zip,
}
assert READERS.keys() == {*TEXT, *BINARY, ARCHIVE}

__all__ = ["READERS", "SUFFIXES", "Format", "Reader", "format_of"]
