from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

from sqsd_lint.report.rows import columns, row, write_objects, write_table
from sqsd_lint.types import AnswerPart, AnswerWindow, Problem, ScoredRow, Where
from tests.report.reports import HOSTILE_TEXT, score

PLACE = ["file", "line", "fingerprint"]
FIELDS = [*PLACE, "danger", "safety", "sqsd", "percentile", "tokens", "truncated", "status"]
ONLY_IN_TABLES = ("harm", "risk", "window", "part", "bound")  # in JSON where a row has them
NAN = float("nan")
ITEMS: list[ScoredRow | Problem] = [
    ScoredRow(Where("a.jsonl", 1, 0), "0a", "text", score(5.0), 99.5),
    ScoredRow(Where(HOSTILE_TEXT, 2, 1), "0b", "text", score(-1.0), None),
    ScoredRow(Where("a.jsonl", 3, 2), "0c", "text", score(NAN), NAN),
    Problem("SQSD303", Where("a.jsonl", 4, 3), "not JSON"),
    Problem("SQSD304", Where("b.jsonl", 0, -1), "an LFS pointer", rows=0),
]


def test_every_row_is_written_the_unscored_too() -> None:
    stream = io.StringIO()
    tally = write_objects(ITEMS, row, stream)
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [list(written) for written in rows] == [FIELDS] * 5
    assert [row["status"] for row in rows] == ["ok", "ok", "SQSD301", "SQSD303", "SQSD304"]
    assert rows[0]["sqsd"] == 5.0
    assert rows[0]["percentile"] == 99.5
    for written in rows[2:]:
        assert {written[name] for name in ("danger", "safety", "sqsd", "percentile", "tokens")} == {None}
    assert rows[4]["line"] is None
    assert stream.getvalue().isascii()
    assert (tally.rows, tally.scored) == (4, 2)
    assert tally.line() == "scored 2 of 4 rows; not scored: 1 SQSD301, 1 SQSD303 and 1 SQSD304"


def test_a_tally_is_complete_only_if_every_reason_is_allowed() -> None:
    tally = write_objects(ITEMS, row, io.StringIO())
    assert not tally.complete()
    assert not tally.complete(["SQSD301", "SQSD303"])
    assert tally.complete(["SQSD301", "SQSD303", "SQSD304"])
    assert write_objects(ITEMS[:2], row, io.StringIO()).complete()


def test_rows_are_written_as_they_come() -> None:
    stream = io.StringIO()

    def items() -> object:
        yield ITEMS[0]
        assert stream.getvalue().count("\n") == 1
        yield ITEMS[1]

    write_objects(items(), row, stream)  # type: ignore[arg-type]
    assert stream.getvalue().count("\n") == 2


def test_parquet_holds_the_same(tmp_path: Path) -> None:
    import pyarrow.parquet

    stream = io.StringIO()
    write_objects(ITEMS, row, stream)
    path = tmp_path / "scores.parquet"
    tally = write_table(ITEMS, row, columns(), path)
    assert pyarrow.parquet.read_table(path).to_pylist() == [
        {**dict.fromkeys(ONLY_IN_TABLES), **json.loads(line)} for line in stream.getvalue().splitlines()
    ]
    assert tally.rows == 4


def test_a_table_holds_harm_risk_a_part_with_its_row_and_a_bound(tmp_path: Path) -> None:
    import pyarrow.parquet

    whole = replace(score(1.0), harm=0.25, risk=1.5)
    judged = replace(score(2.0), harm=0.5, risk=3.5, window=AnswerPart(2, 3, 640, 1408, 64, 1), whole=whole)
    passed = replace(score(NAN), risk=1.25, bound=1.25)
    items = [
        ScoredRow(Where("a.jsonl", 1, 0), "0a", "text", judged, 99.5),
        ScoredRow(Where("a.jsonl", 2, 1), "0b", "text", passed, None),
    ]
    stream = io.StringIO()
    write_objects(items, row, stream)
    path = tmp_path / "scores.parquet"
    tally = write_table(items, row, columns(), path)
    first, second = pyarrow.parquet.read_table(path).to_pylist()
    assert [first, second] == [
        {**dict.fromkeys(ONLY_IN_TABLES), **json.loads(line)} for line in stream.getvalue().splitlines()
    ]
    assert (first["harm"], first["risk"], first["bound"]) == (0.5, 3.5, None)
    assert first["part"]["turn"] == 1
    assert first["part"]["whole"] == {"sqsd": 1.0, "harm": 0.25, "risk": 1.5, "tokens": whole.tokens}
    assert (second["status"], second["bound"], second["risk"]) == ("screened", 1.25, None)
    assert tally.line() == "scored 1 of 2 rows; screened: 1"


def test_a_window_and_a_part_are_written(tmp_path: Path) -> None:
    import pyarrow.parquet

    window = AnswerWindow(2, 3, 640, 1408, 2000)
    long = ScoredRow(Where("a.jsonl", 1, 0), "0a", "text", replace(score(5.0), window=window), 99.5)
    cut = ScoredRow(Where("a.jsonl", 2, 1), "0b", "text", score(5.0, response_lost=7), 99.5)
    tally = write_table([long, cut], row, columns(), tmp_path / "scores.parquet")
    first, second = pyarrow.parquet.read_table(tmp_path / "scores.parquet").to_pylist()
    assert first["window"] == {"number": 2, "count": 3, "start": 640, "end": 1408, "tokens": 2000}
    assert (first["status"], second["status"]) == ("ok", "SQSD302")
    assert (second["sqsd"], second["window"]) == (5.0, None)
    assert tally.line() == "scored 1 of 2 rows; not scored: 1 SQSD302"
    assert tally.complete(["SQSD302"])


def test_parquet_of_nothing_has_the_columns(tmp_path: Path) -> None:
    import pyarrow.parquet

    write_table([], row, columns(), tmp_path / "none.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "none.parquet").column_names == [
        *PLACE,
        *("danger", "safety", "sqsd", "harm", "risk", "percentile", "tokens", "truncated"),
        *("window", "part", "bound", "status"),
    ]
