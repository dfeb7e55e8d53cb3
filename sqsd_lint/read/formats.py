"""Which suffix means which format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from sqsd_lint.discover.default_excludes import BINARY, COMPRESSIONS, SUFFIXES, TEXT, suffix_of
from sqsd_lint.read.arrow import read_arrow
from sqsd_lint.read.csv import read_csv, read_tsv
from sqsd_lint.read.json import read_json
from sqsd_lint.read.jsonl import read_jsonl
from sqsd_lint.read.parquet import read_parquet
from sqsd_lint.read.problems import Unreadable
from sqsd_lint.read.source import Source
from sqsd_lint.types import Problem, Row

Reader = Callable[[Source], Iterator[Row | Problem]]

READERS: dict[str, Reader] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
    ".arrow": read_arrow,
    ".feather": read_arrow,
}
assert READERS.keys() == {*TEXT, *BINARY}


class Format(NamedTuple):
    """How a file is to be read. `compression` is "", "gz" or "zst"."""

    reader: Reader
    text: bool
    compression: str


def format_of(name: str) -> Format:
    """The format of a file by its name.

    Raises:
        Unreadable: no known suffix.
    """
    suffix = suffix_of(name)
    if not suffix:
        known = ", ".join((*TEXT, *BINARY))
        raise Unreadable(
            f"unknown format: the name ends in none of {known}"
            f" (text formats also with {' or '.join(COMPRESSIONS)})",
            hint="convert the file, or give it the suffix of its format",
        )
    packed = next((end for end in COMPRESSIONS if suffix.endswith(end)), "")
    base = suffix.removesuffix(packed)
    return Format(READERS[base], base in TEXT, packed.removeprefix("."))


__all__ = ["READERS", "SUFFIXES", "Format", "Reader", "format_of"]
