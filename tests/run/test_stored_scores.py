"""Scores in a folder: judged by, the same as computed anew, and refused where they do not fit."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.distributed import stored
from sqsd_lint.distributed.folder import MANIFEST
from sqsd_lint.errors import BundleError, CannotScoreError, UsageError
from sqsd_lint.run import check as run_check
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.run.score_shards import Outcome, Plan, score_into, share_of
from sqsd_lint.types import Report
from tests.distributed.conftest import ROWS, data, digests, run

__all__ = ["data", "run"]  # fixtures

Run = Callable[..., Settings]


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    """Scores of all rows, eight a shard."""
    score_into(run(), Plan(tmp_path / "scores", "1", rows=8))
    return tmp_path / "scores"


def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(self: ModelScorer) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(ModelScorer, "_build", build)


def lines(settings: Settings) -> Settings:
    """Thresholds that some rows reach."""
    return replace(settings, threshold="0.4", warning_threshold="0.1")


def findings(report: Report) -> list[tuple[str, str]]:
    return [(violation.rule, str(violation.where)) for violation in report.violations]


def test_a_run_scores_all_and_the_next_one_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(tmp_path / "scores", "1", rows=8)
    first = score_into(run(), plan)
    # 43 lines in eights are 6 shards, four row groups of five in pairs are 2.
    assert (first.shards, first.computed, first.before, first.lost) == (8, 8, 0, ())
    assert (first.rows, first.scored, first.unscored) == (62, 60, {"SQSD301": 1, "SQSD303": 1})
    manifest = json.loads((tmp_path / "scores" / MANIFEST).read_text())
    assert (manifest["shards"], manifest["finished"]) == (8, 8)
    assert {Path(name).name for name in manifest["files"]} == {"a.jsonl", "b.parquet"}
    before = digests(plan.folder)
    no_model(monkeypatch)
    again = score_into(run(), plan)
    assert (again.computed, again.before, again.rows, again.scored) == (0, 8, 62, 60)
    assert digests(plan.folder) == before


def test_shares_make_up_the_whole_and_a_score_does_not_depend_on_them(run: Run, tmp_path: Path) -> None:
    score_into(run(), Plan(tmp_path / "one", "1", rows=8))
    outcomes: list[Outcome] = [
        score_into(run(), Plan(tmp_path / "some", "1", (number, 3), rows=8)) for number in (3, 1, 2)
    ]
    assert [each.computed for each in outcomes] == [2, 3, 3]
    assert digests(tmp_path / "some") == digests(tmp_path / "one")
    # The same in one go, whatever was scored before it: a shard alone gives the same file.
    lonely = tmp_path / "lonely"
    shutil.copytree(tmp_path / "one", lonely)
    (victim, _) = sorted(digests(lonely).items())[0]
    (lonely / "shards" / victim).unlink()
    assert score_into(run(), Plan(lonely, "1", rows=8)).computed == 1
    assert digests(lonely) == digests(tmp_path / "one")


def test_check_judges_by_stored_scores_without_a_model(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = run_check.check(lines(run()))
    assert len(computed.violations) > 10
    no_model(monkeypatch)
    report = run_check.check(lines(run(scores=str(folder))))
    assert findings(report) == findings(computed)
    assert report.exit_code == computed.exit_code
    assert (report.coverage.rows, report.coverage.scored) == (62, 60)
    ours = {row.fingerprint: row.score for row in report.rows}
    for row in computed.rows:
        assert ours[row.fingerprint].sqsd == pytest.approx(row.score.sqsd, abs=1e-5)
        assert ours[row.fingerprint].tokens == row.score.tokens
    assert any("no model was loaded" in note for note in report.head.notes)


def test_rows_are_found_wherever_they_went(
    run: Run, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [*ROWS, *ROWS[:5]]
    random.Random(1).shuffle(rows)
    for file in data.iterdir():
        file.unlink()
    moved = data / "moved.jsonl"
    moved.write_text("".join(json.dumps({"x": 1, **row}) + "\n" for row in rows))
    monkeypatch.setattr(stored, "_HELD", 2)
    report = run_check.check(run(scores=str(folder), threshold="1000", warning_threshold="999"))
    assert (report.coverage.rows, report.coverage.scored, report.exit_code) == (65, 65, 0)


def test_a_row_without_a_score_is_counted_as_not_scored(run: Run, folder: Path, data: Path) -> None:
    with (data / "a.jsonl").open("a") as file:
        file.write(json.dumps({"question": "new?", "answer": "Yes, new."}) + "\n")
    report = run_check.check(run(scores=str(folder), allow=("SQSD303",)))
    assert (report.coverage.rows, report.coverage.scored, report.exit_code) == (63, 60, 3)
    (finding,) = [v for v in report.violations if v.where.line == 44]
    assert finding.rule == "SQSD301"
    assert finding.message == f"no score of it is in {folder}"
    assert "score --output-dir" in finding.hint


def test_rows_near_a_line_keep_their_score_and_the_head_says_so(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = run_check.check(run(scores=str(folder))).rows[7]
    no_model(monkeypatch)
    settings = run(scores=str(folder), threshold=repr(some.score.risk), warning_threshold="-1000")
    report = run_check.check(settings)
    assert next(row for row in report.rows if row.fingerprint == some.fingerprint).score == some.score
    assert any("1 row lies so near a line" in note for note in report.head.notes)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"metric": "dot"}, "metric dot, not cosine"),
        ({"max_length": 64}, "max_length 64, not 1024"),
        ({"turns": "last"}, "turns last, not all"),
        ({"dtype": "bfloat16"}, "dtype bfloat16, not float32"),
    ],
)
def test_scores_under_other_settings_are_refused(
    run: Run, folder: Path, change: dict[str, object], named: str
) -> None:
    with pytest.raises(UsageError, match=named):
        run_check.check(run(scores=str(folder), **change))
    if "dtype" not in change:  # of which a machine may have none
        with pytest.raises(UsageError, match=named):
            score_into(run(**change), Plan(folder, "1", rows=8))


def test_scores_of_another_bundle_are_refused(run: Run, folder: Path, two_bundles: tuple[str, str]) -> None:
    with pytest.raises(BundleError, match="is named"):
        run_check.check(run(scores=str(folder), bundle=two_bundles[1]))
    with pytest.raises(UsageError, match="another bundle"):
        score_into(run(bundle=two_bundles[1]), Plan(folder, "1", rows=8))
    with pytest.raises(UsageError, match="several bundles"):
        run_check.check(run(scores=str(folder), opinions=two_bundles))


def test_a_bundle_need_not_be_here(run: Run, folder: Path) -> None:
    report = run_check.check(run(scores=str(folder), bundle=None, model=None))
    assert report.coverage.scored == 60
    assert report.head.bundle_id == run_check.check(run()).head.bundle_id


def test_what_is_no_folder_of_scores_is_refused(run: Run, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no scores"):
        run_check.check(run(scores=str(tmp_path / "none")))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("x")
    with pytest.raises(UsageError, match="holds other files"):
        score_into(run(), Plan(tmp_path / "other", "1"))
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["basis"]["scorer"]["bundle"] = "0" * 64
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CannotScoreError, match="changed by hand"):
        run_check.check(run(scores=str(folder)))
    (folder / MANIFEST).write_text("{}")
    with pytest.raises(CannotScoreError, match="not the manifest"):
        run_check.check(run(scores=str(folder)))


@pytest.mark.parametrize("damage", ["cut", "flipped", "exchanged"])
def test_a_damaged_shard_is_refused(run: Run, folder: Path, damage: str) -> None:
    one, two, *_ = sorted((folder / "shards").iterdir())
    content = bytearray(one.read_bytes())
    if damage == "cut":
        one.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[40] ^= 1
        one.write_bytes(content)
    else:
        shutil.copy(two, one)
    with pytest.raises(CannotScoreError, match=one.name):
        run_check.check(run(scores=str(folder)))


def test_changed_data_is_scored_anew_and_the_rest_is_kept(run: Run, folder: Path, data: Path) -> None:
    before = digests(folder)
    text = (data / "a.jsonl").read_text().splitlines(keepends=True)
    text[20] = json.dumps({"question": "changed?", "answer": "It has."}) + "\n"
    (data / "a.jsonl").write_text("".join(text))
    outcome = score_into(run(), Plan(folder, "1", rows=8))
    # Lines behind the changed one have other bytes before them, and so other shards.
    assert 1 <= outcome.computed <= 4
    assert before.items() <= digests(folder).items()
    report = run_check.check(run(scores=str(folder), threshold="1000", warning_threshold="999"))
    assert report.coverage.scored == 60


def test_scores_of_other_files_join_the_folder(run: Run, folder: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.jsonl"
    more.write_text(json.dumps({"question": "more?", "answer": "Yes, more."}) + "\n")
    outcome = score_into(run(paths=(str(more),)), Plan(folder, "1", rows=8))
    assert (outcome.shards, outcome.computed) == (1, 1)
    both = run(paths=(*run().paths, str(more)), scores=str(folder))
    assert run_check.check(both).coverage.scored == 61


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/", "-1/2", ""])
def test_a_wrong_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not I/N"):
        share_of(text)
    assert share_of("2/2") == (2, 2)
