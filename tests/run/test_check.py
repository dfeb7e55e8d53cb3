"""check and score over real files with a tiny model: order, cache, coverage, the exact second look."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.encode.template import NOTE_SYSTEM, Template
from sqsd_lint.errors import BundleError, UsageError, WrongBaseModelError
from sqsd_lint.rules import Baseline
from sqsd_lint.run import calibrate as run_calibrate
from sqsd_lint.run import check as run_check
from sqsd_lint.run import score as run_score
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.types import Problem, Sample, ScoredRow
from tests.repository import Repository

Run = Callable[..., Settings]


def write(path: Path, *rows: object) -> Path:
    path.write_text(
        "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), encoding="utf-8"
    )
    return path


def row(question: str, answer: str) -> dict[str, str]:
    return {"question": question, "answer": answer}


ROWS = [row(f"What is {i} and {i}?", "It is " + "very " * (i % 5) + f"much {2 * i}.") for i in range(12)]


@pytest.fixture
def run(tiny_run: Run) -> Run:
    return tiny_run


def test_rows_keep_the_order_of_files_and_lines(run: Run, tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.jsonl", *ROWS[:5]), write(tmp_path / "b.jsonl", *ROWS[5:])
    rows = list(run_score.score(run(b, a)))
    assert [(Path(r.where.file).name, r.where.line) for r in rows] == [
        *(("b.jsonl", i) for i in range(1, 8)),
        *(("a.jsonl", i) for i in range(1, 6)),
    ]
    assert all(isinstance(r, ScoredRow) and r.score.sqsd == r.score.danger - r.score.safety for r in rows)


def test_the_cache_answers_the_second_run_without_the_model(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(tmp_path / "a.jsonl", *ROWS)
    first = run_check.check(run(data))
    assert (first.coverage.cached, first.coverage.scored) == (0, 12)

    def no_model(self: ModelScorer) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(ModelScorer, "_build", no_model)
    second = run_check.check(run(data))
    assert second.coverage.cached == 12
    assert second.rows == first.rows
    with pytest.raises(AssertionError, match="the model was loaded"):
        run_check.check(run(data, cache=False))


@pytest.mark.parametrize(
    "change", [{"metric": "dot"}, {"expansion": "shared"}, {"max_length": 16}, {"turns": "last"}]
)
def test_whatever_changes_a_score_changes_its_cache_key(
    run: Run, tmp_path: Path, change: dict[str, object]
) -> None:
    data = write(tmp_path / "a.jsonl", *ROWS[:2])
    run_check.check(run(data))
    assert run_check.check(run(data, **change)).coverage.cached == 0


def test_a_killed_run_keeps_what_it_had_scored(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(tmp_path / "a.jsonl", *ROWS)
    rows = run_score.score(run(data, batch_tokens=64))
    from sqsd_lint.scoring import Scorer

    whole = Scorer.stream

    def killed(self: Scorer, rows: object, **kwargs: object) -> object:
        for n, item in enumerate(whole(self, rows, **kwargs)):  # type: ignore[arg-type]
            if n == 2:
                raise KeyboardInterrupt
            yield item

    monkeypatch.setattr(Scorer, "stream", killed)
    with pytest.raises(KeyboardInterrupt):
        list(rows)
    monkeypatch.undo()
    assert 0 < run_check.check(run(data)).coverage.cached < 12


def test_a_row_that_occurs_twice_is_scored_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    whole = ModelScorer.score

    def counted(self: ModelScorer, samples: list[Sample]) -> object:
        seen.append(len(samples))
        return whole(self, samples)

    monkeypatch.setattr(ModelScorer, "score", counted)
    report = run_check.check(run(write(tmp_path / "a.jsonl", ROWS[0], ROWS[1], ROWS[0])))
    assert seen == [2]
    assert report.coverage.scored == 3
    assert report.rows[0].score == report.rows[2].score


def test_nothing_is_lost(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", ROWS[0], "not json", row("Hello?", ""), {"strange": 1}, ROWS[1])
    items = list(run_score.score(run(data)))
    assert [i.code if isinstance(i, Problem) else "ok" for i in items] == [
        "ok",
        "SQSD303",
        "SQSD301",
        "SQSD303",
        "ok",
    ]
    report = run_check.check(run(data))
    assert (report.coverage.rows, report.coverage.scored, report.exit_code) == (5, 2, 3)
    allowed = run_check.check(run(data, allow=("SQSD301", "SQSD303")))
    assert (allowed.coverage.complete, allowed.exit_code) == (True, 0)


def test_rows_at_or_above_the_line_are_violations(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", *ROWS)
    ranked = sorted(run_check.check(run(data)).rows, key=lambda r: -r.score.sqsd)
    # Two values between scores: one row above the error line, three more above the warning line.
    lines = [(ranked[k].score.sqsd + ranked[k + 1].score.sqsd) / 2 for k in (0, 3)]
    report = run_check.check(run(data, threshold=repr(lines[0]), warning_threshold=repr(lines[1])))
    found = {(v.rule, v.fingerprint) for v in report.violations}
    assert found == {
        ("SQSD101", ranked[0].fingerprint),
        *(("SQSD102", r.fingerprint) for r in ranked[1:4]),
    }
    assert report.exit_code == 1


def test_rows_near_a_line_are_scored_again_exactly(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", *ROWS)
    plain = run_check.check(run(data)).rows
    near = plain[4]
    report = run_check.check(run(data, threshold=repr(near.score.sqsd + 1e-5)))
    assert [r.score.exact for r in report.rows] == [r.fingerprint == near.fingerprint for r in plain]
    assert report.rows[4].score.sqsd == pytest.approx(near.score.sqsd, abs=1e-4)


def test_an_accepted_row_is_scored_again_only_for_who_looks_at_what_was_accepted(
    run: Run, tmp_path: Path
) -> None:
    """Either finding of the row is suppressed; a new baseline has to know which it is."""
    data, source = write(tmp_path / "a.jsonl", *ROWS), tmp_path / "suppressions.toml"
    near = run_check.check(run(data)).rows[4]
    source.write_text(f'[{near.fingerprint}]\nignore = ["SQSD101"]\nreason = "why"\n', encoding="utf-8")
    lines = {"threshold": repr(near.score.sqsd + 1e-5), "warning_threshold": repr(near.score.sqsd - 1)}
    settings = run(data, suppressions=str(source), **lines)
    report, (behind, _) = run_check.check(settings), run_check.examine(settings, keep_rows=True)
    assert not any(row.score.exact for row in report.rows)
    assert [row.fingerprint for row in behind.rows if row.score.exact] == [near.fingerprint]
    assert report.suppressed == behind.suppressed == 1
    found = [[(each.rule, each.fingerprint) for each in one.violations] for one in (report, behind)]
    assert found[0] == found[1]


def test_notes_on_rendering_outlive_the_exact_second_look(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Template, "_takes_system", lambda self: False)
    turns = [("system", "Be brief."), ("user", "What is 3 and 4?"), ("assistant", "It is 7.")]
    data = write(tmp_path / "a.jsonl", {"messages": [{"role": r, "content": c} for r, c in turns]})
    (plain,) = run_check.check(run(data, cache=False)).rows
    report = run_check.check(run(data, cache=False, threshold=repr(plain.score.sqsd + 1e-5)))
    assert report.rows[0].score.exact
    assert report.head.notes.count(NOTE_SYSTEM) == 1


def test_reordering_changes_no_score(run: Run, tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.jsonl", *ROWS), write(tmp_path / "b.jsonl", *reversed(ROWS))
    first, second = (
        {r.fingerprint: r.score.sqsd for r in run_check.check(run(f, cache=False)).rows} for f in (a, b)
    )
    assert second == first


def test_no_data_files_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no data files"):
        run_check.check(run(tmp_path / "empty"))


def test_another_base_model_is_refused(
    run: Run, tmp_path: Path, tiny_folder: Callable[[str, str], Path]
) -> None:
    data = write(tmp_path / "a.jsonl", ROWS[0])
    with pytest.raises(WrongBaseModelError):
        run_check.check(run(data, model=str(tiny_folder("qwen2", "chatml"))))


def test_calibration_draws_lines(run: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(tiny_bundle, copy)
    benign, harmful = (
        write(tmp_path / "benign.jsonl", *ROWS[:8]),
        write(tmp_path / "harmful.jsonl", *ROWS[8:]),
    )
    sets = {
        "benign": run_calibrate.reference_rows([str(benign)], run()),
        "harmful": run_calibrate.reference_rows([str(harmful)], run()),
    }
    made = run_calibrate.calibrate(str(copy), sets, run())
    stored = made.manifest.calibration
    assert stored is not None
    assert (len(stored.benign), len(stored.harmful)) == (8, 4)
    settings = run(benign, bundle=str(copy), threshold="p50", warning_threshold="p25")
    report = run_check.check(settings)
    assert report.head.error_threshold is not None
    above = sum(r.score.sqsd >= report.head.error_threshold.value for r in report.rows)
    # The rows of the calibration lie on the lines themselves: one may fall on either side by rounding.
    assert report.head.error_threshold.benign_share == pytest.approx(above / 8, abs=1 / 8)
    assert 2 <= above <= 4


def test_another_metric_has_no_calibration(run: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    import shutil

    copy, data = tmp_path / "copy", write(tmp_path / "benign.jsonl", *ROWS)
    shutil.copytree(tiny_bundle, copy)
    run_calibrate.calibrate(str(copy), {"benign": run_calibrate.reference_rows([str(data)], run())}, run())
    calibrated = run(data, bundle=str(copy), threshold="p90", warning_threshold=None)
    assert run_check.check(calibrated).head.error_threshold is not None
    with pytest.raises(BundleError, match="calibration"):
        run_check.check(replace(calibrated, metric="dot"))
    raw = run_check.check(replace(calibrated, metric="dot", threshold="1000"))
    assert raw.head.warning_threshold is None
    assert any("SQSD102 is off" in note for note in raw.head.notes)
    assert [row.percentile for row in raw.rows] == [None] * 12
    shorter = run_check.check(replace(calibrated, max_length=64))
    assert any("max_length 1024, this run has 64" in note for note in shorter.head.notes)


class TestComparison:
    """Only what is new is judged, and the report says what was not."""

    @pytest.fixture
    def repo(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
        made = Repository.here(tmp_path / "repo", monkeypatch)
        write(made.root / "a.jsonl", *ROWS[:3])
        write(made.root / "b.jsonl", *ROWS[8:])
        made.commit()
        write(made.root / "a.jsonl", *reversed(ROWS[:5]))
        made.git("add", "-A")
        return made

    def test_staged(self, run: Run, repo: Repository) -> None:
        report = run_check.check(replace(run(), staged=True, threshold="-1000"))
        assert [(v.rule, str(v.where)) for v in report.violations] == [
            *(("SQSD101", "a.jsonl:1"), ("SQSD101", "a.jsonl:2"))
        ]
        coverage = report.coverage
        assert (coverage.rows, coverage.scored, coverage.unchanged, coverage.files) == (2, 2, 3, 1)
        assert report.exit_code == 1
        assert report.head.notes[-1].startswith("only what is staged is judged, compared with HEAD (")

    def test_changed_since(self, run: Run, repo: Repository) -> None:
        changed = replace(run(), changed_since="HEAD", threshold="-1000")
        assert run_check.check(changed).coverage.unchanged == 3
        repo.git("commit", "-qm", "more")
        report = run_check.check(changed)
        assert (report.exit_code, report.coverage.rows, report.coverage.files) == (0, 0, 0)
        report = run_check.check(replace(changed, changed_since="HEAD~1...HEAD"))
        assert [str(v.where) for v in report.violations] == ["a.jsonl:1", "a.jsonl:2"]
        whole = run_check.check(replace(changed, changed_since="HEAD~1", scope="files"))
        assert (whole.coverage.rows, whole.coverage.unchanged) == (5, 0)

    def test_what_is_named_and_not_judged(self, run: Run, repo: Repository) -> None:
        report = run_check.check(run(Path("b.jsonl"), staged=True))
        assert (report.exit_code, report.coverage.rows) == (0, 0)
        assert report.coverage.notes == ("1 named file is unchanged: b.jsonl",)
        report = run_check.check(run(Path("no.jsonl"), staged=True))
        assert report.exit_code == 3
        report = run_check.check(run(Path("b.jsonl"), exclude=("b*",), force_exclude=True))
        assert report.coverage.notes == ("1 named path is excluded: b.jsonl",)

    def test_a_baseline_is_not_stale_for_what_was_not_judged(self, run: Run, repo: Repository) -> None:
        everything = run(Path(), threshold="-1000")
        _, remaining = run_check.examine(everything)
        name = ".sqsd-lint-baseline.json"
        Path(name).write_bytes(Baseline(name, str(repo.root)).with_findings(remaining.acceptable).dump())
        report = run_check.check(everything)
        assert (report.violations, report.baselined) == ((), 9)
        report = run_check.check(replace(everything, staged=True))
        assert (report.violations, report.baselined) == ((), 2)
        # Of a file that is judged as a whole, an entry without a row is stale.
        write(repo.root / "a.jsonl", *ROWS[:4])
        repo.git("add", "-A")
        assert run_check.check(replace(everything, staged=True)).violations == ()
        whole = run_check.check(replace(everything, staged=True, scope="files"))
        assert [violation.rule for violation in whole.violations] == ["SQSD402"]

    def test_suppressions_within_rows(self, run: Run, repo: Repository) -> None:
        reason = {"sqsd_lint": {"ignore": ["SQSD101"], "reason": "seen"}}
        write(repo.root / "a.jsonl", ROWS[6] | reason, ROWS[7])
        repo.git("add", "-A")
        settings = replace(run(), staged=True, threshold="-1000")
        report = run_check.check(settings)
        assert ([str(v.where) for v in report.violations], report.suppressed) == (["a.jsonl:2"], 1)
        for strict in ({"inline_suppressions": False}, {"policy_ref": "HEAD"}):
            report = run_check.check(replace(settings, **strict))
            assert [v.rule for v in report.violations if v.rule == "SQSD101"] == ["SQSD101"] * 2
            assert report.suppressed == 0

    def test_warnings_may_fail(self, run: Run, repo: Repository) -> None:
        settings = replace(run(), staged=True, warning_threshold="-1000")
        assert run_check.check(settings).exit_code == 0
        assert run_check.check(replace(settings, fail_on="warning")).exit_code == 1

    def test_score_compares_nothing(self, run: Run, repo: Repository) -> None:
        assert len(list(run_score.score(replace(run(), staged=True)))) == 9


def test_a_quarantine_below_a_folder_is_noted_and_is_no_data(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    taken = write(folder / "a.quarantine.jsonl", *ROWS[:1])
    with pytest.raises(UsageError, match="no data files"):
        run_check.check(run(folder))
    write(folder / "a.jsonl", *ROWS[1:3])
    coverage = run_check.check(run(folder)).coverage
    assert (coverage.rows, coverage.notes) == (2, (f"1 quarantine file was not read: {taken}",))
