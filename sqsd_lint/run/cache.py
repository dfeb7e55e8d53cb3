"""`cache export` and `cache merge`: scores from one cache to another, every row checked on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sqsd_lint.errors import CannotScoreError, UsageError
from sqsd_lint.read import read_rows
from sqsd_lint.scoring.cache import cache_path
from sqsd_lint.scoring.cache_file import CacheFile, read_database
from sqsd_lint.scoring.cache_row import CacheRow
from sqsd_lint.types import Problem

EXPORTS = (".jsonl", ".parquet")
# Suffixes of a cache's own file, and of one that was set aside.
_DATABASES = (".sqlite", ".damaged")
_ROWS = 8192
_FAULTS_AT_MOST = 3

_KEYS = ("scorer", "fingerprint", "checksum")
_NUMBERS = ("danger", "safety", "loss", "drift")
_COUNTS = ("tokens", "response_lost")
_HEX = re.compile(r"(?:[0-9a-f]{2})+")


@dataclass
class Exported:
    """What was exported.

    Attributes:
        scorers: how many combinations of bundle and settings the scores are by.
        notes: what happened to the cache's file.
    """

    scores: int
    scorers: int
    notes: tuple[str, ...]


@dataclass
class Merged:
    """What became of the rows of a file.

    Attributes:
        added: scores that the cache did not have.
        known: scores that it had; `differing` of them are others in the file, and stay as they were.
        refused: rows that must not be used.
        faults: why, of the first few of them.
    """

    file: str
    added: int = 0
    known: int = 0
    differing: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)

    def refuse(self, fault: str, rows: int = 1) -> None:
        """Count rows that must not be used."""
        self.refused += rows
        if len(self.faults) < _FAULTS_AT_MOST:
            self.faults.append(fault)


def export_scores(folder: Path, target: Path, suffix: str) -> Exported:
    """Write every sound score of a cache to a file.

    Args:
        folder: the cache folder.
        suffix: ".jsonl" or ".parquet"; `target` may have another, as a temporary file has.

    Raises:
        UsageError: there is no cache.
        CannotScoreError: its file cannot be read.
    """
    path = cache_path(folder)
    if not path.is_file():
        raise UsageError(f"{path}: no score cache to export", hint="Name its folder with --cache-dir.")
    cache = CacheFile(path)
    scorers: set[bytes] = set()
    count = 0

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal count
        for row in cache.rows():
            count += 1
            scorers.add(row.scorer)
            yield _fields(row)

    try:
        (_write_parquet if suffix == ".parquet" else _write_lines)(counted(), target)
        if not cache.usable:
            raise CannotScoreError(cache.notes[-1], hint="Check the file and its permissions.")
        return Exported(count, len(scorers), cache.notes)
    finally:
        cache.close()


def merge_scores(folder: Path, files: Iterable[str]) -> Iterator[tuple[Merged, tuple[str, ...]]]:
    """Add the scores of files to a cache, and yield for each file what became of them, and the cache's notes.

    A score that the cache has already stays as it is.

    Args:
        folder: the cache folder; the cache is made if there is none.
        files: what `export_scores` wrote, or files of other caches.

    Raises:
        UsageError: a file is missing, or is none of these by its name; nothing is merged then.
        CannotScoreError: the cache cannot be written.
    """
    names = list(files)
    for name in names:
        _check_name(name)
    cache = CacheFile(cache_path(folder))
    try:
        for name in names:
            merged = Merged(name)
            sound = _sound_rows(name, merged)
            while batch := list(islice(sound, _ROWS)):
                _add(cache, batch, merged)
            yield merged, cache.notes
    finally:
        cache.close()


def _check_name(name: str) -> None:
    if not Path(name).is_file():
        raise UsageError(f"{name}: no such file", hint="Give what `sqsd-lint cache export` wrote.")
    if not any(suffix in Path(name).suffixes[-2:] for suffix in (*EXPORTS, *_DATABASES)):
        raise UsageError(
            f"{name}: neither an exported cache nor a cache",
            hint=f"Its name must end in {', '.join(EXPORTS)}.",
        )


def _add(cache: CacheFile, batch: list[CacheRow], merged: Merged) -> None:
    by_scorer: dict[bytes, dict[bytes, list[CacheRow]]] = {}
    for row in batch:
        by_scorer.setdefault(row.scorer, {}).setdefault(row.fingerprint, []).append(row)
    new: list[CacheRow] = []
    for scorer, rows in by_scorer.items():
        there = cache.find(scorer, list(rows))
        for fingerprint, same in rows.items():
            kept = there.get(fingerprint)
            if kept is None:
                kept, *same = same
                new.append(kept)
            merged.known += len(same)
            merged.differing += sum(row != kept for row in same)
    cache.add(new)
    if not cache.writable:
        raise CannotScoreError(cache.notes[-1], hint="Check the file and its permissions, or free it.")
    merged.added += len(new)


def _sound_rows(name: str, merged: Merged) -> Iterator[CacheRow]:
    """Yield the rows of a file that may be used; the others are counted."""
    if Path(name).suffix in _DATABASES:
        for row in read_database(Path(name)):
            if isinstance(row, CacheRow):
                yield row
            else:
                merged.refuse(row)
        return
    for item in read_rows(name):
        if isinstance(item, Problem):
            merged.refuse(f"{_place(item.where.line)}{item.message}", max(item.rows, 1))
            continue
        found = _row(item.raw)
        if isinstance(found, CacheRow):
            yield found
        else:
            merged.refuse(f"{_place(item.where.line)}{found}")


def _place(line: int) -> str:
    return f"row {line:,}: " if line else ""


def _fields(row: CacheRow) -> dict[str, Any]:
    values = row._asdict()
    values |= {name: values[name].hex() for name in ("scorer", "fingerprint")}
    return {**values, "checksum": row.checksum().hex()}


def _row(raw: Any) -> CacheRow | str:
    """Return a row as it was exported, or why it must not be used."""
    if not isinstance(raw, dict):
        return "it is no row of a score cache"
    names = (*CacheRow._fields, "checksum")
    if missing := [name for name in names if name not in raw]:
        return f"it is no row of a score cache: no {', '.join(missing)}"
    values = {name: raw[name] for name in names}
    for name in _KEYS:
        if not (isinstance(values[name], str) and _HEX.fullmatch(values[name])):
            return f"its {name} is no hexadecimal text"
        values[name] = bytes.fromhex(values[name])
    for name in _NUMBERS:
        if type(values[name]) is int and abs(values[name]) < 2**53:  # a program has written 1.0 as 1
            values[name] = float(values[name])
    checksum = values.pop("checksum")
    row = CacheRow(**values)
    return row.fault(checksum) or row


def _write_lines(rows: Iterable[dict[str, Any]], target: Path) -> None:
    with target.open("w", encoding="utf-8", newline="\n") as stream:
        for row in rows:
            stream.write(json.dumps(row, allow_nan=False) + "\n")


def _write_parquet(rows: Iterable[dict[str, Any]], target: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    kinds = dict.fromkeys((*CacheRow._fields, "checksum"), pyarrow.string())
    kinds |= dict.fromkeys(_NUMBERS, pyarrow.float64()) | dict.fromkeys(_COUNTS, pyarrow.int64())
    schema = pyarrow.schema(list(kinds.items()))
    rest = iter(rows)
    with pyarrow.parquet.ParquetWriter(target, schema) as writer:
        while group := list(islice(rest, _ROWS)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))
