"""The file of a shard's scores: Parquet, a row of the table for each row of the data, in their order.

Pages have checksums, and the descriptor of the shard is in the file: a file that was damaged or renamed is
never taken for another.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, get_args

import msgspec

from sqsd_lint.common.atomic import replacing
from sqsd_lint.distributed.shards import Shard
from sqsd_lint.errors import CannotScoreError
from sqsd_lint.types import Problem, Sample, Score, Truncated

if TYPE_CHECKING:
    import pyarrow as pa

_VERSION = "1"
_GROUP = 8192
_KEY = b"sqsd-lint"
_TRUNCATED = frozenset(get_args(Truncated))
_LARGEST = 2**31
_FINGERPRINT = re.compile("[0-9a-f]{32}")
OK = "ok"


class ScoredSample(NamedTuple):
    """A row with its score, and what the chat template does not write of it."""

    sample: Sample
    score: Score
    dropped: tuple[str, ...] = ()


class Done(msgspec.Struct, frozen=True):
    """What became of a shard.

    Attributes:
        rows, scored: how many there are, and how many have a score; a file that cannot be read has none.
        unscored: by code, how many rows, or files, have none.
        notes: what a report has to say of the scores.
        uncovered: the share of the base model that no score covers.
    """

    rows: int
    scored: int
    unscored: dict[str, int]
    notes: tuple[str, ...] = ()
    uncovered: float = 0.0


class ShardScorer(Protocol):
    """What a file of scores says of what they are by."""

    @property
    def model_notes(self) -> tuple[str, ...]:
        """Notes that hold for the rows scored."""

    @property
    def uncovered(self) -> float:
        """The share of the base model that no score covers."""


def write_shard(path: Path, shard: Shard, items: Iterable[ScoredSample | Problem], by: ShardScorer) -> Done:
    """Write the scores of a shard: to a file beside, which takes the name once it is whole.

    Args:
        by: what scores the items; it is asked once all of them are scored.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    rows = scored = 0
    unscored: dict[str, int] = {}
    rest = iter(items)
    with (
        replacing(path) as new,
        pq.ParquetWriter(
            new, schema, compression="zstd", write_page_checksum=True, store_schema=True
        ) as writer,
    ):
        while group := list(islice(rest, _GROUP)):
            for item in group:
                if isinstance(item, Problem):
                    rows += item.rows
                    unscored[item.code] = unscored.get(item.code, 0) + max(item.rows, 1)
                else:
                    rows, scored = rows + 1, scored + 1
            writer.write_table(pa.Table.from_pylist([_fields(each) for each in group], schema=schema))
        # Where no row was scored, no model was asked.
        model = (by.model_notes, by.uncovered) if scored else ((), 0.0)
        done = Done(rows, scored, unscored, *model)
        writer.add_key_value_metadata(
            {
                _KEY.decode(): json.dumps(
                    {
                        "version": _VERSION,
                        "shard": msgspec.to_builtins(shard),
                        "done": msgspec.to_builtins(done),
                    }
                )
            }
        )
    return done


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        {
            "file": pa.dictionary(pa.int32(), pa.string()),
            "line": pa.int64(),
            "index": pa.int64(),
            "fingerprint": pa.string(),
            "danger": pa.float64(),
            "safety": pa.float64(),
            "sqsd": pa.float64(),
            "harm": pa.float64(),
            "loss": pa.float64(),
            "drift": pa.float64(),
            "tokens": pa.int32(),
            "truncated": pa.dictionary(pa.int32(), pa.string()),
            "response_lost": pa.int32(),
            "dropped": pa.list_(pa.string()),
            "status": pa.dictionary(pa.int32(), pa.string()),
            "message": pa.string(),
            "hint": pa.string(),
        }
    )


def _fields(item: ScoredSample | Problem) -> dict[str, Any]:
    if isinstance(item, Problem):
        return {
            "file": item.where.file,
            "line": item.where.line,
            "index": item.where.index,
            "fingerprint": item.fingerprint or None,
            "status": item.code,
            "message": item.message,
            "hint": item.hint,
        }
    sample, score, dropped = item
    return {
        "file": sample.where.file,
        "line": sample.where.line,
        "index": sample.where.index,
        "fingerprint": score.fingerprint,
        "danger": score.danger,
        "safety": score.safety,
        "sqsd": score.sqsd,
        "harm": score.harm,
        "loss": score.loss,
        "drift": score.drift,
        "tokens": score.tokens,
        "truncated": score.truncated,
        "response_lost": score.response_lost,
        "dropped": dropped or None,
        "status": OK,
    }


def read_done(path: Path, shard: Shard | None = None) -> Done:
    """Return what became of a finished shard.

    Args:
        shard: that the file must be of.

    Raises:
        CannotScoreError: the file is damaged, or of another shard.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path).metadata or {}
        found = json.loads(metadata[_KEY])
        if found["version"] != _VERSION:
            raise ValueError(f"its version is {found['version']!r}")
        if shard is not None and msgspec.convert(found["shard"], Shard) != shard:
            raise ValueError("it is of another shard")
        return msgspec.convert(found["done"], Done)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, msgspec.ValidationError) as error:
        raise _damaged(path, error) from None


class Lookup(NamedTuple):
    """The rows of a shard's file, to be found by fingerprint."""

    rows: dict[str, int]
    table: pa.Table
    path: Path

    def get(self, fingerprints: Sequence[str]) -> Iterator[tuple[str, ScoredRow]]:
        """Yield what is stored of those that are there.

        Raises:
            CannotScoreError: a stored value is none that a score can have.
        """
        wanted = [fingerprint for fingerprint in fingerprints if fingerprint in self.rows]
        if not wanted:
            return
        found = self.table.take([self.rows[fingerprint] for fingerprint in wanted]).to_pydict()
        for number, fingerprint in enumerate(wanted):
            yield fingerprint, _stored({name: found[name][number] for name in found}, self.path)


class ScoredRow(NamedTuple):
    """What is stored of a row: its score, or code, message and hint of why it has none."""

    score: Score | None
    dropped: tuple[str, ...] = ()
    why: tuple[str, str, str] = ("", "", "")


_READ = (
    *("fingerprint", "danger", "safety", "harm", "loss", "drift", "tokens", "truncated", "response_lost"),
    *("dropped", "status", "message", "hint"),
)


def open_lookup(path: Path) -> Lookup:
    """Read a shard's file whole; a row that occurs several times is there once.

    Raises:
        CannotScoreError: the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read(columns=list(_READ), use_threads=False)
        keys = table.column("fingerprint").to_pylist()
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from None
    return Lookup({key: at for at, key in enumerate(keys) if key}, table, path)


def _stored(row: dict[str, Any], path: Path) -> ScoredRow:
    if row["status"] != OK:
        return ScoredRow(None, (), (str(row["status"]), row["message"] or "", row["hint"] or ""))
    numbers = [row[name] for name in ("danger", "safety")]
    counts = [row[name] for name in ("tokens", "response_lost")]
    sound = (
        all(isinstance(value, float) for value in numbers)
        and all(isinstance(value, int) and 0 <= value < _LARGEST for value in counts)
        and row["truncated"] in _TRUNCATED
    )
    if not sound:
        raise _damaged(path, ValueError(f"the row {row['fingerprint']} has no score that can be one"))
    danger, safety = numbers
    score = Score(
        row["fingerprint"],
        danger,
        safety,
        danger - safety,
        row["tokens"],
        row["truncated"],
        row["response_lost"],
        math.nan if row["loss"] is None else row["loss"],
        False,
        math.nan if row["drift"] is None else row["drift"],
        row["harm"],
    )
    return ScoredRow(score, tuple(row["dropped"] or ()))


def _damaged(path: Path, error: Exception) -> CannotScoreError:
    return CannotScoreError(
        f"{path}: not a file of scores, or damaged: {str(error)[:200]}",
        hint="Remove it, and run `sqsd-lint score --output-dir` again: it computes what is missing.",
    )


def fingerprints_of(path: Path) -> list[str]:
    """Return the fingerprints of all rows of a shard's file that have one.

    Raises:
        CannotScoreError: the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            keys = file.read(columns=["fingerprint"], use_threads=False).column(0).to_pylist()
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from None
    if any(key is not None and not _FINGERPRINT.fullmatch(key) for key in keys):
        raise _damaged(path, ValueError("a fingerprint is not 32 hexadecimal digits"))
    return [key for key in keys if key]
