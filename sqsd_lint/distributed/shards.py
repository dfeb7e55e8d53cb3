"""Shards: parts of files with everything that their scores depend on, and how files are cut into them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from sqsd_lint.common.json_io import digest
from sqsd_lint.read.ranges import Part, parts_of
from sqsd_lint.types import Problem

# Rows of a shard: as many as are scored together in one process, so that a file's batches are the same.
SHARD_ROWS = 8192


class Shard(msgspec.Struct, frozen=True):
    """What one worker scores at once, without asking anybody.

    Attributes:
        file: as rows name it; relative to the working folder of the workers unless absolute.
        settings: digest of all that scores depend on besides rows: bundle, scorer, how rows are read.
    """

    file: str
    part: Part
    settings: str

    @property
    def name(self) -> str:
        """The file's name under which its scores are finished: equal shards have equal names."""
        return f"{digest(msgspec.to_builtins(self))[:32]}.parquet"


class ShardedFile(msgspec.Struct, frozen=True):
    """The shards of one file, for as long as the file has this size and time."""

    size: int
    modified: int
    rows: int
    parts: tuple[Part, ...]


def plan_file(file: str, rows: int, known: ShardedFile | None = None) -> ShardedFile | Problem:
    """Cut a file into parts of about so many rows.

    Args:
        known: how it was cut before; it holds while size and time of the file are the same.
    """
    try:
        status = os.stat(file)
        if known and (known.size, known.modified, known.rows) == (status.st_size, status.st_mtime_ns, rows):
            return known
        return ShardedFile(status.st_size, status.st_mtime_ns, rows, tuple(parts_of(file, rows)))
    except OSError as error:
        from sqsd_lint.types import Where

        message = f"cannot be read: {error.strerror or error}"
        return Problem("SQSD304", Where(file, 0, -1), message, "check the file and its disk", rows=0)


def shards_of(plans: Mapping[str, ShardedFile], settings: str) -> list[Shard]:
    """Return the shards of all files, in their order."""
    return [Shard(file, part, settings) for file, plan in plans.items() for part in plan.parts]


def share(shards: Sequence[Shard], number: int, of: int) -> list[Shard]:
    """Return every `of`-th shard from the `number`-th on, counted from 1: the shares make up all of them."""
    return list(shards[number - 1 :: of])


def unfinished(shards: Iterable[Shard], finished: set[str]) -> Iterator[Shard]:
    """Yield the shards that no file stands for."""
    return (shard for shard in shards if shard.name not in finished)
