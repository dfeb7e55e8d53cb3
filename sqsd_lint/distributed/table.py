"""The file of a shard's scores: Parquet, a row of the table for each row of the data, in their order.

The descriptor of the shard and a digest of what is judged by are in the file: one that was damaged or renamed
is never taken for another.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

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
_FINGERPRINT = re.compile("[0-9a-f]{32}")
OK = "ok"
_NUMBERS = ("danger", "safety", "harm", "loss", "drift", "tokens", "response_lost")
# What rows are judged by; the others are for readers.
_READ = ("fingerprint", *_NUMBERS, "truncated", "dropped", "status", "message", "hint")


class ScoredSample(NamedTuple):
    """A row with its score, and what the chat template does not write of it."""

    sample: Sample
    score: Score
    dropped: tuple[str, ...] = ()


class About(msgspec.Struct, frozen=True):
    """What has to be said of a shard's rows and scores, as far as it is known once they are scored.

    Attributes:
        notes: on the scores.
        uncovered: the share of the base model that no score covers.
        undesirable, remarks, not_data: on the rows, as `run.rows.Rows` counts them.
    """

    notes: tuple[str, ...] = ()
    uncovered: float = 0.0
    undesirable: dict[str, int] = {}
    remarks: dict[str, int] = {}
    not_data: tuple[str, ...] = ()


class Done(msgspec.Struct, frozen=True):
    """What became of a shard.

    Attributes:
        rows, scored: how many there are, and how many have a score; a file that cannot be read has none.
        unscored: by code, how many rows, or files, have none.
    """

    rows: int
    scored: int
    unscored: dict[str, int]
    about: About


def write_shard(
    path: Path, shard: Shard, items: Iterable[ScoredSample | Problem], about: Callable[[int], About]
) -> Done:
    """Write the scores of a shard: to a file beside, which takes the name once it is whole.

    Args:
        about: called at the end, with the number of rows that have a score.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    rows = scored = 0
    unscored: dict[str, int] = {}
    rest = iter(items)
    with (
        replacing(path) as new,
        pq.ParquetWriter(new, schema, compression="zstd") as writer,
    ):
        content = _new_digest()
        while group := list(islice(rest, _GROUP)):
            for item in group:
                if isinstance(item, Problem):
                    rows += item.rows
                    unscored[item.code] = unscored.get(item.code, 0) + max(item.rows, 1)
                else:
                    rows, scored = rows + 1, scored + 1
            table = pa.Table.from_pylist([_fields(each) for each in group], schema=schema)
            _add_to(content, table)
            writer.write_table(table)
        done = Done(rows, scored, unscored, about(scored))
        writer.add_key_value_metadata(
            {
                _KEY.decode(): json.dumps(
                    {
                        "version": _VERSION,
                        "shard": msgspec.to_builtins(shard),
                        "done": msgspec.to_builtins(done),
                        "content": content.hexdigest(),
                    }
                )
            }
        )
    return done


def _new_digest() -> blake2b:
    return blake2b(digest_size=16, person=b"sqsd-lint/scores")


def _add_to(content: blake2b, table: pa.Table) -> None:
    """Add what rows are judged by to a digest; the same for equal rows, however they are encoded."""
    for name in _READ:
        column = table.column(name)
        if name in _NUMBERS:
            content.update(column.to_numpy().tobytes())  # what is not known is NaN
        else:
            content.update("\n".join(map(repr, column.to_pylist())).encode("utf-8", "surrogatepass"))


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

    def get(self, fingerprints: Sequence[str]) -> Iterator[tuple[str, StoredRow]]:
        """Yield what is stored of those that are there.

        Raises:
            CannotScoreError: a stored value is none that a score can have.
        """
        wanted = [fingerprint for fingerprint in fingerprints if fingerprint in self.rows]
        if not wanted:
            return
        found = self.table.take([self.rows[fingerprint] for fingerprint in wanted]).to_pydict()
        for values in zip(*(found[name] for name in _READ), strict=True):
            yield values[0], _stored(self.path, *values)


class StoredRow(NamedTuple):
    """What is stored of a row: its score, or code, message and hint of why it has none."""

    score: Score | None
    dropped: tuple[str, ...] = ()
    why: tuple[str, str, str] = ("", "", "")


def open_lookup(path: Path) -> Lookup:
    """Read a shard's file whole; a row that occurs several times is there once.

    Raises:
        CannotScoreError: the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=list(_READ), use_threads=False)
            told = json.loads(file.metadata.metadata[_KEY])["content"]
        if table.schema.types != [_schema().field(name).type for name in _READ]:
            raise ValueError("its columns are not those of scores")
        content = _new_digest()
        for begin in range(0, table.num_rows, _GROUP):
            _add_to(content, table.slice(begin, _GROUP))
        if content.hexdigest() != told:
            raise ValueError("its scores are not those that were written")
        keys = table.column("fingerprint").to_pylist()
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from None
    return Lookup({key: at for at, key in enumerate(keys) if key}, table, path)


def _stored(
    path: Path,
    fingerprint: str,
    danger: Any,
    safety: Any,
    harm: Any,
    loss: Any,
    drift: Any,
    tokens: Any,
    response_lost: Any,
    truncated: Any,
    dropped: Any,
    status: Any,
    message: Any,
    hint: Any,
) -> StoredRow:
    """Return a row from its values in the order of `_READ`."""
    if status != OK:
        return StoredRow(None, (), (str(status), message or "", hint or ""))
    if None in (danger, safety, tokens, response_lost) or truncated not in _TRUNCATED:
        raise _damaged(path, ValueError(f"the row {fingerprint} has no score that can be one"))
    score = Score(
        fingerprint,
        danger,
        safety,
        danger - safety,
        tokens,
        truncated,
        response_lost,
        math.nan if loss is None else loss,
        False,
        math.nan if drift is None else drift,
        harm,
    )
    return StoredRow(score, tuple(dropped or ()))


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
        with pq.ParquetFile(path) as file:
            keys = file.read(columns=["fingerprint"], use_threads=False).column(0).to_pylist()
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from None
    if any(key is not None and not _FINGERPRINT.fullmatch(key) for key in keys):
        raise _damaged(path, ValueError("a fingerprint is not 32 hexadecimal digits"))
    return [key for key in keys if key]
