from __future__ import annotations

import json
from pathlib import Path

import pytest

from sqsd_lint.cli.app import main
from sqsd_lint.errors import ModelNotFoundError
from sqsd_lint.types import Problem, ScoredRow, Where
from tests.cli.conftest import FakePipeline
from tests.report.reports import score

GOOD = ScoredRow(Where("a.jsonl", 1, 0), "0a", "text", score(5.0), 99.5)
BAD = Problem("SQSD303", Where("a.jsonl", 2, 1), "not JSON")


def test_rows_go_to_standard_output_and_the_coverage_to_standard_error(
    pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.rows = [GOOD]
    assert main(["score", "a.jsonl"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "ok"
    assert err == "scored 1 of 1 rows\n"


def test_a_row_without_a_score_is_written_and_exit_3(
    pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.rows = [GOOD, BAD]
    assert main(["score", "a.jsonl"]) == 3
    out, err = capsys.readouterr()
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["ok", "SQSD303"]
    assert "1 SQSD303" in err


def test_what_is_allowed_by_name_is_no_failure(pipeline: FakePipeline) -> None:
    pipeline.rows = [GOOD, BAD]
    assert main(["score", "a.jsonl", "--allow", "SQSD303"]) == 0
    assert main(["score", "a.jsonl", "--allow", "SQSD301"]) == 3


def test_a_note_is_printed_once_before_the_coverage(
    pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.rows, pipeline.notes = [GOOD], ("2 rows are not judged",)
    assert main(["score", "a.jsonl"]) == 0
    assert capsys.readouterr().err.splitlines() == ["2 rows are not judged", "scored 1 of 1 rows"]


def test_quiet_says_nothing(pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline.rows = [GOOD]
    main(["score", "a.jsonl", "--quiet"])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["scores.jsonl", "scores.parquet"])
def test_the_suffix_chooses_the_format(name: str, pipeline: FakePipeline) -> None:
    pipeline.rows = [GOOD, BAD]
    assert main(["score", "a.jsonl", "-o", name]) == 3
    if name.endswith(".parquet"):
        import pyarrow.parquet

        rows = pyarrow.parquet.read_table(name).to_pylist()
    else:
        rows = [json.loads(line) for line in Path(name).read_text(encoding="utf-8").splitlines()]
    assert [row["status"] for row in rows] == ["ok", "SQSD303"]


@pytest.mark.parametrize("name", ["scores.jsonl", "scores.parquet"])
def test_a_run_that_fails_half_way_leaves_no_half_file(name: str, pipeline: FakePipeline) -> None:
    pipeline.rows = [GOOD]
    pipeline.error = ModelNotFoundError("gone")
    assert main(["score", "a.jsonl", "-o", name]) == 3
    assert list(Path().iterdir()) == []
