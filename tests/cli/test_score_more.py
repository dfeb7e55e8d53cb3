"""`score --emit-spans` and `score --bundle A --bundle B`: what is written, and what is said at the end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sqsd_lint.cli.app import main
from sqsd_lint.config import Settings
from sqsd_lint.explain.model import Share, Span, SpannedRow, Spans
from sqsd_lint.run import spans as spanning
from sqsd_lint.types import Opinion, Problem, Score, ScoredRow, Where
from tests.cli.conftest import FakePipeline
from tests.report.reports import score

WHERE = Where("a.jsonl", 1, 0)
SPANS = Spans(
    (Span(1, 0, 5, 2, Share(2.0, 0.5)), Span(1, 5, 9, 1, Share(1.0, -0.5))), Share(0.5, 0.25), Share(0.0, 0.0)
)
SPANNED = SpannedRow(ScoredRow(WHERE, "0a", "text", score(5.0), 99.5), SPANS)
EMPTY = SpannedRow(ScoredRow(WHERE, "0b", "text", Score("0b", 0.0, 0.0, 0.0, 3)), SPANS)
BAD = Problem("SQSD303", Where("a.jsonl", 2, 1), "not JSON")


def voted(*opinions: tuple[float, bool]) -> ScoredRow:
    return ScoredRow(
        WHERE,
        "0a",
        "text",
        score(opinions[0][0] / 10),
        opinions=tuple(Opinion("ab"[i], score(p / 10), p, risky) for i, (p, risky) in enumerate(opinions)),
    )


@pytest.fixture
def asked(pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    calls: list[Any] = []

    def spans(settings: Settings, unit: str, *, progress: Any = None, note: Any = None) -> Any:
        calls.append((settings, unit))
        note("the score cache was damaged")
        return iter([SPANNED, EMPTY, BAD])

    monkeypatch.setattr(spanning, "score", spans)
    return calls


def read(name: str | None, out: str) -> list[dict[str, Any]]:
    if name is None:
        return [json.loads(line) for line in out.splitlines()]
    import pyarrow.parquet

    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(name).to_pylist()
    return rows


@pytest.mark.parametrize("name", [None, "spans.parquet"])
def test_spans(asked: list[Any], capsys: pytest.CaptureFixture[str], name: str | None) -> None:
    assert main(["score", "a.jsonl", "--emit-spans", *(["-o", name] if name else [])]) == 3
    out, err = capsys.readouterr()
    row, empty, bad = read(name, out)
    assert asked[0][1] == "sentence"
    harm = {"harm": None} if name else {}  # a column of tables, absent in JSON where a bundle has none
    share = {"danger": 2.0, "safety": 0.5, "sqsd": 1.5, **harm}
    assert row["spans"][0] == {"message": 1, "start": 0, "end": 5, "tokens": 2, **share}
    assert row["prompt"] == {"danger": 0.5, "safety": 0.25, "sqsd": 0.25, **harm}
    assert (empty["status"], empty["spans"], empty["other"]) == ("SQSD301", None, None)
    assert (bad["status"], bad["spans"], bad["prompt"]) == ("SQSD303", None, None)
    assert "1 SQSD301 and 1 SQSD303" in err
    assert err.startswith("the score cache was damaged\n")


def test_the_unit_of_spans_can_be_chosen(asked: list[Any]) -> None:
    main(["score", "a.jsonl", "--emit-spans", "--span-unit", "word", "--quiet"])
    assert asked[0][1] == "word"
    assert main(["score", "a.jsonl", "--emit-spans", "--span-unit", "page"]) == 2


@pytest.mark.parametrize("name", [None, "opinions.parquet"])
def test_consensus(pipeline: FakePipeline, capsys: pytest.CaptureFixture[str], name: str | None) -> None:
    pipeline.rows = [voted((99.0, True), (40.0, False)), voted((99.0, True), (99.5, True)), BAD]
    bundles = ["--bundle", "one", "--bundle", "two"]
    assert main(["score", "a.jsonl", *bundles, *(["-o", name] if name else [])]) == 3
    out, err = capsys.readouterr()
    assert pipeline.settings is not None
    assert pipeline.settings.opinions == ("one", "two")
    apart, agreed, bad = read(name, out)
    assert (apart["only"], apart["agreement"], apart["risky"]) == ("a", 0.5, ["a"])
    assert (apart["mean_percentile"], apart["max_percentile"]) == (69.5, 99.0)
    assert [opinion["bundle"] for opinion in apart["opinions"]] == ["a", "b"]
    assert (agreed["only"], agreed["agreement"], agreed["risky"]) == (None, 1.0, ["a", "b"])
    assert (bad["status"], bad["opinions"], bad["line"]) == ("SQSD303", None, 2)
    assert set(bad) == set(apart)
    assert "agree on 1 of 2 rows; all find 1 risky; only a finds 1 risky" in err


def test_one_bundle_is_no_consensus(asked: list[Any], pipeline: FakePipeline) -> None:
    pipeline.rows = [SPANNED.row]
    assert main(["score", "a.jsonl", "--bundle", "one"]) == 0
    assert asked == []
    assert pipeline.settings is not None
    assert pipeline.settings.bundle == "one"


def test_spans_of_several_bundles_are_refused(asked: list[Any]) -> None:
    assert main(["score", "a.jsonl", "--emit-spans", "--bundle", "a", "--bundle", "b"]) == 2
    assert asked == []
