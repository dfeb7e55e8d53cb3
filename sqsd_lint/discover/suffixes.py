"""The data files that sqsd-lint knows, by suffix."""

from __future__ import annotations

import os

TEXT = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
BINARY = (".parquet", ".arrow", ".feather")
COMPRESSIONS = (".gz", ".zst")

SUFFIXES: tuple[str, ...] = (*TEXT, *(text + packed for text in TEXT for packed in COMPRESSIONS), *BINARY)
"""Every accepted suffix, lower case: ".jsonl", ".jsonl.gz", ".parquet" and so on."""


def suffix_of(path: str) -> str:
    """The accepted suffix that `path` ends in, whatever its case; "" when it has none."""
    name = os.path.basename(path).lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")
