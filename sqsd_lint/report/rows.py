"""Every row's score as JSON Lines or Parquet; rows without a score are written too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

from sqsd_lint.common import numbers
from sqsd_lint.report import fields
from sqsd_lint.rules.findings import is_screened
from sqsd_lint.types import Head, Problem, Report

_GROUP_ROWS = 8192
row = fields.row

T = TypeVar("T")
Fields = Callable[[T | Problem], dict[str, Any]]


@dataclass
class Tally:
    """What was written.

    Attributes:
        rows: rows written; a file that could not be read counts as none.
        scored: rows with a score.
        screened: rows that were passed by with a bound on their risk.
        unscored: rows, and files, without one, per code of the reason.
    """

    rows: int = 0
    scored: int = 0
    unscored: Counter[str] = field(default_factory=Counter)
    screened: int = 0

    def complete(self, allow: Collection[str] = ()) -> bool:
        """Whether everything has a score but for the reasons in `allow`."""
        return all(code in allow for code in self.unscored)

    def line(self) -> str:
        """Return the coverage line."""
        reasons = [f"{count:,} {code}" for code, count in sorted(self.unscored.items())]
        missing = f"; not scored: {numbers.listing(reasons)}" if reasons else ""
        passed = f"; screened: {self.screened:,}" if self.screened else ""
        return f"scored {self.scored} of {self.rows} rows{passed}{missing}"

    def count(self, items: Iterable[T | Problem], to_fields: Fields[T]) -> Iterator[dict[str, Any]]:
        """Pass every item on as its fields."""
        for item in items:
            row = to_fields(item)
            self.rows += item.rows if isinstance(item, Problem) else 1
            if row["status"] == "ok":
                self.scored += 1
            elif row["status"] == fields.SCREENED:
                self.screened += 1
            else:
                self.unscored[row["status"]] += max(item.rows, 1) if isinstance(item, Problem) else 1
            yield row


def scores_by_bundle(report: Report) -> list[tuple[str, Head, Mapping[float, int]]]:
    """Every risk and how often it occurs, for each bundle with its name and head; one needs no name."""
    heads = report.head.bundles or (report.head,)
    if report.distributions:
        return [
            (each.bundle, head, each.risks) for each, head in zip(report.distributions, heads, strict=True)
        ]
    if not report.head.bundles:
        return [("", report.head, Counter(row.score.risk for row in report.rows if not is_screened(row)))]
    names = [opinion.bundle for opinion in report.rows[0].opinions] if report.rows else []
    return [
        (name, heads[at], Counter(row.opinions[at].score.risk for row in report.rows))
        for at, name in enumerate(names)
    ]


def write_objects(items: Iterable[T | Problem], to_fields: Fields[T], stream: IO[str]) -> Tally:
    """Write one JSON object per item, as `to_fields` makes it; its `status` says whether it is scored."""
    tally = Tally()
    for row in tally.count(items, to_fields):
        stream.write(fields.dump(row) + "\n")
    return tally


def columns() -> dict[str, Any]:
    """Return the columns of a table of rows and their Arrow types."""
    import pyarrow

    place = [(name, pyarrow.int64()) for name in ("number", "count", "start", "end", "tokens")]
    whole = [*((name, pyarrow.float64()) for name in ("sqsd", "harm", "risk")), ("tokens", pyarrow.int64())]
    return {
        "file": pyarrow.string(),
        "line": pyarrow.int64(),
        "fingerprint": pyarrow.string(),
        "danger": pyarrow.float64(),
        "safety": pyarrow.float64(),
        "sqsd": pyarrow.float64(),
        "harm": pyarrow.float64(),
        "risk": pyarrow.float64(),
        "percentile": pyarrow.float64(),
        "tokens": pyarrow.int64(),
        "truncated": pyarrow.string(),
        "window": pyarrow.struct(place),
        "part": pyarrow.struct([*place, ("turn", pyarrow.int64()), ("whole", pyarrow.struct(whole))]),
        "bound": pyarrow.float64(),
        "status": pyarrow.string(),
    }


def write_table(
    items: Iterable[T | Problem], to_fields: Fields[T], columns: dict[str, Any], path: Path
) -> Tally:
    """Write a Parquet file of the fields that `to_fields` makes of each item."""
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema(list(columns.items()))
    tally = Tally()
    rows = tally.count(items, to_fields)
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, _GROUP_ROWS)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))
    return tally
