"""Rows that are judged by their worst part: which rows, by which score, and what a report says of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from msgspec import structs

from sqsd_lint.bundle.calibrate import ScoredSet, calibrate
from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.common.statistics import largest_of
from sqsd_lint.config import Settings
from sqsd_lint.encode.windows import PART
from sqsd_lint.errors import UsageError
from sqsd_lint.explain.model import total
from sqsd_lint.explain.remedy import masked
from sqsd_lint.explain.row_reference import RowReference
from sqsd_lint.report import Options, fields
from sqsd_lint.report import write as write_report
from sqsd_lint.rules.calibration import PART_FACTOR
from sqsd_lint.run import check as run_check
from sqsd_lint.run import parts as run_parts
from sqsd_lint.run import score as run_score
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.explain import explain
from sqsd_lint.run.rows import clean_samples
from sqsd_lint.run.score_shards import ShardedRun, score_into
from sqsd_lint.scoring import Scorer
from sqsd_lint.server.client import ScoringClient
from sqsd_lint.types import Encoded, Report, Score, ScoredRow
from tests.run.conftest import ROWS, write
from tests.server.running import service, serving_settings

Run = Callable[..., Settings]

STEPS = [f"Step {i}: mix flour {i} with water, then wait." for i in range(8)]
LONG = [
    {"question": f"How is bread number {n} made?", "answer": " ".join(STEPS[n:] + STEPS[:n])}
    for n in range(4)
]
TALK = [
    {
        "messages": [
            {"role": "user", "content": "Hello?"},
            {"role": "assistant", "content": f"Good day, number {n}."},
            {"role": "user", "content": "And soup? " * n},
            {"role": "assistant", "content": f"Boil it {n} times."},
        ]
    }
    for n in range(1, 4)
]


@pytest.fixture(scope="module")
def placed(two_bundles: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny bundle, calibrated by length on scores that were drawn."""
    import shutil

    folder = tmp_path_factory.mktemp("placed") / "bundle"
    shutil.copytree(two_bundles[0], folder)
    draw = random.Random(0)
    scores = []
    for i in range(300):
        sqsd = draw.gauss(0, 0.05)
        scores.append(Score(f"{i:032x}", sqsd, 0.0, sqsd, draw.randint(2, 400), loss=draw.uniform(0, 50)))
    calibrate(load_bundle(folder), [ScoredSet("drawn", scores)], [], dtype_pairs=[], dtype="float32")
    return str(folder)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "rows.jsonl", *ROWS[:3], *LONG, *TALK)


@pytest.fixture
def settings(tiny_run: Run, placed: str, data: Path) -> Settings:
    return tiny_run(data, bundle=placed, parts="all")


def scored(settings: Settings) -> list[ScoredRow]:
    rows = list(run_score.score(settings))
    assert all(isinstance(row, ScoredRow) for row in rows)
    return rows  # type: ignore[return-value]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many encoded rows every pass of a scorer had."""
    found: list[int] = []
    stream = Scorer.stream

    def counted(self: Scorer, rows: Sequence[Encoded], **options: bool) -> object:
        found.append(len(rows))
        return stream(self, rows, **options)

    monkeypatch.setattr(Scorer, "stream", counted)
    return iter([found])


def test_a_row_is_judged_by_its_worst_part_where_that_is_above_the_whole(settings: Settings) -> None:
    rows = scored(replace(settings, cache=False))
    whole = scored(replace(settings, cache=False, parts="off"))
    run = BundleRun(settings)
    encoder, scorer = run.model_scorer.parts()
    assert run.calibration is not None
    curve = run.calibration.curve
    judged = 0
    for row, alone, sample in zip(rows, whole, clean_samples(str(settings.paths[0]), settings), strict=True):
        parts = encoder.answer_parts(sample)
        values = [danger - safety for danger, safety in scorer.project(parts).values.tolist()]
        placed = [
            largest_of(curve.normal_score(value, part.response_tokens), PART_FACTOR * len(parts))
            for value, part in zip(values, parts, strict=True)
        ]
        assert row.score.of_row == alone.score
        if len(parts) == 1 or max(placed) <= alone.score.risk:
            assert row.score == alone.score
            continue
        judged += 1
        worst = placed.index(max(placed))
        assert row.score.window == parts[worst].window
        assert row.score.risk == pytest.approx(placed[worst], abs=1e-2)
        assert row.score.sqsd == pytest.approx(values[worst], abs=1e-4)
        assert row.score.drift == alone.score.drift
        assert row.percentile is not None
        assert row.percentile == run.calibration.percentile(row.score.risk)
    assert 0 < judged < len(rows)


def test_score_leaves_rows_whole_unless_asked(settings: Settings, data: Path) -> None:
    assert not any(row.score.part for row in scored(replace(settings, parts=None)))
    assert any(row.score.part for row in scored(settings))


def test_short_rows_of_one_turn_cost_nothing(
    settings: Settings, tmp_path: Path, passes: Iterator[list[int]]
) -> None:
    (found,) = passes
    short = write(tmp_path / "short.jsonl", *ROWS)
    scored(replace(settings, paths=(str(short),), cache=False))
    assert found == [len(ROWS)]


def test_only_rows_above_the_bound_are_cut(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, passes: Iterator[list[int]]
) -> None:
    (found,) = passes
    whole = scored(replace(settings, cache=False, parts="off"))
    risks = sorted(row.score.risk for row in whole[3:])
    monkeypatch.setattr(run_parts, "BOUND", (risks[3] + risks[4]) / 2)
    found.clear()
    report = run_check.check(replace(settings, cache=False, parts=None))
    samples = list(clean_samples(str(settings.paths[0]), settings))
    encoder, _ = BundleRun(settings).model_scorer.parts()
    cut = [sample for sample, row in zip(samples, whole, strict=True) if row.score.risk >= run_parts.BOUND]
    cut = [sample for sample in cut if len(encoder.answer_parts(sample)) > 1]
    assert sum(found) == len(samples) + sum(len(encoder.answer_parts(sample)) for sample in cut)
    assert any(note.startswith(f"{len(cut)} rows were scored part by part") for note in report.head.notes)
    assert {row.where.line for row in report.rows if row.score.part} <= {s.where.line for s in cut}


def test_the_cache_has_rows_and_parts_apart(settings: Settings, passes: Iterator[list[int]]) -> None:
    (found,) = passes
    off, every = replace(settings, parts="off"), settings
    first = run_check.check(off)
    rows, long = len(first.rows), len(LONG) + len(TALK)
    found.clear()
    parts = run_check.check(every)
    assert parts.coverage.cached == rows - long
    assert sum(found) > 0
    assert rows not in found  # no row was scored as a whole again
    found.clear()
    again = run_check.check(every)
    assert (again.coverage.cached, found) == (rows, [])
    assert [row.score for row in again.rows] == [row.score for row in parts.rows]
    assert [row.score for row in run_check.check(off).rows] == [row.score for row in first.rows]
    assert found == []


def judged_by_part(report: Report) -> list[ScoredRow]:
    found = [row for row in report.rows if row.score.part]
    assert found
    return found


def test_a_finding_names_the_part_and_the_whole(settings: Settings) -> None:
    one = judged_by_part(run_check.check(settings))[0]
    whole = one.score.of_row.risk
    line = f"{(whole + one.score.risk) / 2:.4f}"
    report = run_check.check(replace(settings, threshold=line))
    (found,) = [v for v in report.violations if v.rule == "SQSD101" and v.where == one.where]
    part = one.score.part
    assert part is not None
    said = f"in the worst of {part.count} parts: response tokens {part.start + 1:,} to {part.end:,}"
    assert said in found.message
    assert f"trained turn {part.turn}" in found.message
    written = fields.violation(found, Options())
    assert {"number", "count", "start", "end", "tokens", "turn", "whole"} == set(written["part"])
    assert written["part"]["whole"]["risk"] == pytest.approx(whole)
    assert "window" not in written
    off = run_check.check(replace(settings, threshold=line, parts="off"))
    assert not [v for v in off.violations if v.rule == "SQSD101" and v.where == one.where]


@pytest.mark.parametrize("name", ["text", "json", "html", "markdown", "sarif", "junit", "github"])
def test_every_format_writes_a_part(settings: Settings, name: str) -> None:
    report = run_check.check(replace(settings, threshold="-1000", warning_threshold="-1001"))
    stream = StringIO()
    write_report(report, name, stream, Options())
    assert "part" in stream.getvalue()


def test_score_writes_the_part_and_keeps_the_rows_own_numbers(settings: Settings) -> None:
    rows = [fields.row(row) for row in scored(settings)]
    whole = [fields.row(row) for row in scored(replace(settings, parts=None))]
    parted = 0
    for row, alone in zip(rows, whole, strict=True):
        assert row["status"] == "ok"
        if "part" in row:
            parted += 1
            assert row["part"]["whole"]["sqsd"] == alone["sqsd"]
            assert row["risk"] > alone["risk"]
        else:
            assert row == alone
        json.dumps(row)
    assert parted


def test_files_are_judged_by_whole_rows(settings: Settings) -> None:
    """The benign rate that SQSD202 goes by, and a fine-tune's drift, are those of whole rows."""
    lines = {"threshold": "1000", "warning_threshold": "p50"}
    found = run_check.check(replace(settings, **lines))  # type: ignore[arg-type]
    alone = run_check.check(replace(settings, parts="off", **lines))  # type: ignore[arg-type]
    assert any(row.score.part for row in found.rows)
    for code in ("SQSD201", "SQSD202"):
        assert [v.message for v in found.violations if v.rule == code] == [
            v.message for v in alone.violations if v.rule == code
        ]


def test_explain_takes_the_part_apart_that_is_judged(settings: Settings) -> None:
    one = judged_by_part(run_check.check(settings))[0]
    line = f"{(one.score.of_row.risk + one.score.risk) / 2:.4f}"
    found = explain(
        RowReference(one.where.file, one.where.line),
        replace(settings, threshold="1000", warning_threshold=line),
    )
    assert found.row.score.window == one.score.window
    assert found.row.score.risk == pytest.approx(one.score.risk, abs=1e-2)
    whole = total([p.share for p in found.tokens.parts]) + found.tokens.prompt + found.tokens.other
    assert whole.sqsd == pytest.approx(one.score.sqsd, abs=1e-4)
    assert any("judged by a part: what is explained is the worst of" in note for note in found.head.notes)
    remedy = found.remedy
    assert remedy is not None
    # What is left is judged as the row is: as a whole, and part by part.
    run = BundleRun(settings)
    encoder, scorer = run.model_scorer.parts()
    assert run.calibration is not None
    sample = list(clean_samples(one.where.file, settings))[one.where.line - 1]
    pieces = [*encoder.locate_parts(sample), *encoder.locate_answer_parts(sample)]
    rows = [row for piece in pieces if (row := masked(*piece, remedy.parts)).response_tokens]
    risks = [
        run.calibration.placed(danger - safety, row.response_tokens, row.window.count if row.window else 0)
        for row, (danger, safety) in zip(rows, scorer.project(rows).values.tolist(), strict=True)
    ]
    assert remedy.masked == pytest.approx(max(risks), abs=1e-2)
    assert remedy.enough == (max(risks) < float(line))


def test_a_row_that_is_judged_as_a_whole_is_explained_as_one(settings: Settings) -> None:
    report = run_check.check(settings)
    whole = next(row for row in report.rows if not row.score.part and row.score.tokens > PART)
    found = explain(RowReference(whole.where.file, whole.where.line), settings)
    assert found.row.score.window is None
    assert found.row.score.sqsd == pytest.approx(whole.score.sqsd, abs=1e-4)


def test_without_a_calibration_by_length_there_is_nothing_to_place_parts_by(
    tiny_run: Run, data: Path
) -> None:
    report = run_check.check(tiny_run(data))
    assert not any(row.score.part for row in report.rows)
    with pytest.raises(UsageError, match="calibrated by the length"):
        run_check.check(tiny_run(data, parts="all"))


def test_rows_longer_than_a_sequence_are_cut_too(settings: Settings) -> None:
    windows = replace(settings, max_length=96, cache=False)
    rows = scored(windows)
    assert any(row.score.of_row.window is not None for row in rows)
    parts = [row.score for row in rows if row.score.part and row.score.of_row.window]
    assert parts
    for score in parts:
        assert score.response_lost == 0
        assert score.part is not None
        assert score.of_row.window is not None
        assert score.part.tokens == score.of_row.window.tokens


def test_exact_mode_decides_which_rows_are_cut_where_a_part_decides(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row just under the bound is cut by a fast scorer, and judged as a whole if exact mode says so."""
    one = judged_by_part(run_check.check(settings))[0]
    whole, part = one.score.of_row.risk, one.score.risk
    line = {"threshold": f"{(whole + part) / 2:.4f}", "parts": "auto"}
    for bound, by_part in ((whole + 5e-4, False), (whole - 5e-4, True), (whole + 2e-3, False)):
        monkeypatch.setattr(run_parts, "BOUND", bound)
        report = run_check.check(replace(settings, **line))  # type: ignore[arg-type]
        (row,) = [row for row in report.rows if row.where == one.where]
        assert (row.score.part is not None) == by_part
        assert row.score.exact == (abs(bound - whole) < 1e-3)


def test_a_row_judged_by_a_part_is_scored_again_if_it_is_near_a_line_as_a_whole(settings: Settings) -> None:
    one = judged_by_part(run_check.check(settings))[0]
    whole, part = one.score.of_row.risk, one.score.risk
    assert part - whole > 1e-2
    for line, exact in ((whole + 1e-5, True), ((whole + part) / 2, False)):
        report = run_check.check(replace(settings, threshold=repr(line)))
        (row,) = [row for row in report.rows if row.where == one.where]
        assert (row.score.part, row.score.exact) == (one.score.part, exact)


def test_a_service_scores_parts_as_a_model_here_does(
    settings: Settings, placed: str, tiny_model_folder: Path, tmp_path: Path
) -> None:
    here = run_check.check(settings)
    judged_by_part(here)
    with service(serving_settings(Path(placed), tiny_model_folder, tmp_path / "served")) as url:
        there = Settings(
            paths=settings.paths,
            scorer=url,
            parts="all",
            threshold="1000",
            warning_threshold="999",
            cache_dir=str(tmp_path / "remote"),
        )
        first, again = run_check.check(there), run_check.check(there)
    for report in (first, again):
        assert [row.score.window for row in report.rows] == [row.score.window for row in here.rows]
        for one, other in zip(report.rows, here.rows, strict=True):
            assert one.score.risk == pytest.approx(other.score.risk, abs=1e-3)
            assert one.score.of_row.risk == pytest.approx(other.score.of_row.risk, abs=1e-3)
    assert (first.coverage.cached, again.coverage.cached) == (0, len(here.rows))


def test_a_service_of_before_scores_whole_rows_which_the_head_says(
    settings: Settings,
    placed: str,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    info = ScoringClient.info
    monkeypatch.setattr(
        ScoringClient, "info", lambda self: (structs.replace(info(self)[0], parts=False), info(self)[1])
    )
    with service(serving_settings(Path(placed), tiny_model_folder, tmp_path / "served")) as url:
        report = run_check.check(Settings(paths=settings.paths, scorer=url, cache_dir=str(tmp_path / "c")))
    assert not any(row.score.part for row in report.rows)
    assert f"rows are judged as a whole, not by parts: {url} scores whole rows alone" in report.head.notes


def test_stored_scores_are_of_whole_rows_which_the_head_says(settings: Settings, tmp_path: Path) -> None:
    whole = run_check.check(replace(settings, parts="off"))
    score_into(replace(settings, cache=False), ShardedRun(tmp_path / "scores", "1", rows=8))
    stored = replace(settings, scores=str(tmp_path / "scores"), parts=None)
    report = run_check.check(stored)
    note = "rows are judged as a whole, not by parts: stored scores are those of whole rows"
    assert note in report.head.notes
    assert [row.score.window for row in report.rows] == [None] * len(whole.rows)
    assert note not in run_check.check(replace(stored, parts="off")).head.notes
