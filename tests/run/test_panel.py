"""`check` with several bundles over real files with tiny models."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import sqsd_lint
from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.bundle.lock import Lock
from sqsd_lint.bundle.locking import make_lock
from sqsd_lint.bundle.resolve import open_for
from sqsd_lint.config import Settings
from sqsd_lint.errors import BundleError, ConfigError, UsageError
from sqsd_lint.run import check as run_check
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.run.panel import settings_of_each
from sqsd_lint.types import Report, Sample, ScoredRow, Violation
from tests.repository import Repository, lines

ROWS = [{"question": f"What is {i} and {i}?", "answer": f"It is {'so ' * (i % 3)}{2 * i}."} for i in range(8)]
Run = Callable[..., Settings]


@pytest.fixture
def run(two_bundles: tuple[str, str], tiny_model_folder: Path, tmp_path: Path) -> Run:
    base = Settings(
        bundle=two_bundles[0],
        opinions=two_bundles,
        model=str(tiny_model_folder),
        device="cpu",
        dtype="float32",
        warning_threshold="p20",
        threshold="p60",
        select=("SQSD1", "SQSD3"),
        cache_dir=str(tmp_path / "cache"),
    )

    def settings(*paths: object, **changes: object) -> Settings:
        return replace(base, paths=tuple(map(str, paths)), **changes)  # type: ignore[arg-type]

    return settings


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_text(lines(*ROWS))
    return path


def by_line(report: Report) -> dict[int, Violation]:
    return {v.where.line: v for v in report.violations}


def test_every_bundle_judges_at_its_own_lines(run: Run, data: Path) -> None:
    settings = run(data)
    assert settings.bundle is not None
    alone = [
        by_line(run_check.check(replace(settings, bundle=bundle, opinions=())))
        for bundle in settings.opinions
    ]
    report = run_check.check(settings)
    together = by_line(report)
    assert set(together) == set(alone[0]) | set(alone[1])
    carried = 0
    for line, violation in together.items():
        rules = [each[line].rule if line in each else "" for each in alone]
        if "" in rules:
            assert violation.rule == "SQSD102"
            assert violation.message.startswith("only 1 of 2 bundles finds it risky")
        else:
            carried += 1
            assert violation.rule == max(rules)  # an error needs both
        told = [o.level.value if o.level else "" for o in violation.opinions]
        assert told == [{"SQSD101": "error", "SQSD102": "warning", "": ""}[rule] for rule in rules]
    assert 0 < carried < len(together)
    assert [head.bundle_id for head in report.head.bundles] == ["tiny", "two"]
    assert [head.error_threshold.spec for head in report.head.bundles if head.error_threshold] == [
        "p60",
        "p60",
    ]
    assert report.head.bundle_digest == " + ".join(load_bundle(Path(b)).digest for b in settings.opinions)


def test_the_cache_answers_the_second_run_without_a_model(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_check.check(run(data))

    def no_model(self: ModelScorer) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(ModelScorer, "_build", no_model)
    second = run_check.check(run(data))
    assert second.coverage.cached == len(ROWS)
    assert second.violations == first.violations


def test_rows_near_a_line_of_either_bundle_are_scored_again_exactly(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = [row.opinions for row in run_check.check(run(data)).rows]
    first, second = sorted({o[0].score.sqsd for o in scores}), sorted({o[1].score.sqsd for o in scores})
    asked: list[int] = []
    whole = ModelScorer.score

    def counted(self: ModelScorer, samples: list[Sample]) -> Iterator[object]:
        if self.exact:
            asked.append(len(samples))
        return whole(self, samples)

    monkeypatch.setattr(ModelScorer, "score", counted)
    monkeypatch.setattr("sqsd_lint.run.bundle_run._FLOAT32_TOLERANCE", 1e-9)
    for value in (first[3], second[3]):
        report = run_check.check(run(data, threshold=repr(value), warning_threshold="-1000"))
        exact = [[o.score.exact for o in row.opinions] for row in report.rows]
        assert sum(map(sum, exact)) == 1
    assert asked == [1, 1]


def test_one_model_is_in_memory_at_a_time(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: set[ModelScorer] = set()
    most = [0]
    build, release = ModelScorer._build, ModelScorer.release

    def counted(self: ModelScorer) -> object:
        loaded.add(self)
        most[0] = max(most[0], len(loaded))
        return build(self)

    def gone(self: ModelScorer) -> None:
        loaded.discard(self)
        release(self)

    monkeypatch.setattr(ModelScorer, "_build", counted)
    monkeypatch.setattr(ModelScorer, "release", gone)
    run_check.check(run(data, threshold="1000", warning_threshold="999"))
    assert (most, loaded) == ([1], set())


def test_only_new_rows_are_judged_as_they_are_staged(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = Repository.here(tmp_path / "repo", monkeypatch)
    repo.write("a.jsonl", lines(*ROWS[:5]))
    repo.commit()
    repo.write("a.jsonl", lines(*ROWS))
    repo.git("add", "-A")
    repo.write("a.jsonl", "{broken\n")
    for changes in ({"staged": True}, {"changed_since": "HEAD...HEAD"}):
        report = run_check.check(run(".", consensus="any", **changes))
        new = 3 if "staged" in changes else 0
        assert (report.coverage.rows, report.coverage.scored) == (new, new)
        assert report.coverage.unchanged == (5 if new else 0)
    staged = run_check.check(run(".", staged=True))
    assert all(len(row.opinions) == 2 for row in staged.rows)
    assert [row.where.line for row in staged.rows] == [6, 7, 8]


def test_standard_input_is_read_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(lines(*ROWS).encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    report = run_check.check(run("-"))
    assert report.coverage.scored == len(ROWS)
    assert {len(row.opinions) for row in report.rows} == {2}


@pytest.mark.parametrize("later", [ROWS[:-1], [*ROWS, ROWS[0]], ROWS[::-1]])
def test_a_file_that_changes_between_two_bundles_is_refused(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch, later: list[object]
) -> None:
    release = ModelScorer.release

    def changed(self: ModelScorer) -> None:
        data.write_text(lines(*later))
        release(self)

    monkeypatch.setattr(ModelScorer, "release", changed)
    with pytest.raises(UsageError, match="changed while it was read"):
        run_check.check(run(data, threshold="1000", warning_threshold="999"))


def test_a_bundle_without_a_calibration_is_named(run: Run, data: Path, tiny_bundle: Path) -> None:
    settings = run(data)
    both = (str(tiny_bundle), settings.opinions[1])
    settings = replace(settings, bundle=both[0], opinions=both, warning_threshold=None)
    with pytest.raises(BundleError, match=r"^tiny: threshold p60 needs a calibration"):
        run_check.check(settings)
    raw = run_check.check(replace(settings, threshold="-1000"))
    assert {v.rule for v in raw.violations} == {"SQSD101"}
    assert "tiny SQSD -" in raw.violations[0].message or "tiny SQSD 0" in raw.violations[0].message
    assert any(note.startswith("tiny: SQSD102 is off") for note in raw.head.notes)


def test_two_names_of_one_bundle_are_no_two_opinions(run: Run, data: Path) -> None:
    one = run(data).opinions[0]
    with pytest.raises(UsageError, match="named twice"):
        run_check.check(run(data, opinions=(one, one + "/")))


def test_one_bundle_with_two_calibrations_is_no_two_opinions(run: Run, data: Path, tiny_bundle: Path) -> None:
    one = run(data).opinions[0]  # the other is as it was before its calibration
    with pytest.raises(UsageError, match=r"^tiny@\w{12} and tiny@\w{12} give the same scores"):
        run_check.check(run(data, opinions=(one, str(tiny_bundle))))


def test_bundles_of_the_same_id_are_told_apart(
    run: Run, data: Path, two_bundles: tuple[str, str], tmp_path: Path
) -> None:
    other = Path(shutil.copytree(two_bundles[1], tmp_path / "other"))
    text = (other / "bundle.json").read_text(encoding="utf-8")
    (other / "bundle.json").write_text(text.replace('"id": "two"', '"id": "tiny"'), encoding="utf-8")
    report = run_check.check(run(data, opinions=(two_bundles[0], str(other))))
    digests = [load_bundle(Path(b)).digest[:12] for b in (two_bundles[0], other)]
    assert [o.bundle for o in report.rows[0].opinions] == [f"tiny@{digest}" for digest in digests]


def test_the_lock_holds_for_each(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = run(data, lock="sqsd-lint.lock")
    # A lock has one bundle for each base model, and these two have the same one.
    with pytest.raises(ConfigError, match="two bundles for") as caught:
        make_lock(settings, None, "sqsd-lint.lock")
    assert "one bundle for each base model" in str(caught.value.hint)
    lock = make_lock(replace(settings, opinions=(), bundle=settings.opinions[1]), None, "sqsd-lint.lock")
    Lock(lock.path, lock.bundles).write()
    with pytest.raises(BundleError, match=r"expected the bundle two .* found .*one"):
        run_check.check(settings)


def test_bundles_of_two_base_models_are_both_locked(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch, two_bundles: tuple[str, str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    other = Path(shutil.copytree(two_bundles[1], "other"))
    base = load_bundle(other).manifest.base_model.id
    manifest = json.loads((other / "bundle.json").read_text(encoding="utf-8"))
    manifest["base_model"]["id"] = "org/other"
    (other / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
    settings = run(data, lock="sqsd-lint.lock", opinions=(two_bundles[0], "other"), model=base)
    lock = make_lock(settings, None, "sqsd-lint.lock")
    lock.write()
    assert set(lock.bundles) == {base, "org/other"}
    assert [open_for(each).id for each in settings_of_each(settings)] == ["tiny", "two"]
    manifest["metric"] = "dot"
    (other / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(BundleError, match="expected the bundle two"):
        open_for(settings_of_each(settings)[1])


def test_a_pull_request_cannot_bring_the_second_bundle(
    run: Run, two_bundles: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = Repository.here(tmp_path / "repo", monkeypatch)
    repo.write("a.jsonl", lines(*ROWS))
    shutil.copytree(two_bundles[0], "one")
    repo.git("add", "-A")
    repo.commit()
    shutil.copytree(two_bundles[1], "second")
    repo.git("add", "-A")
    settings = run("a.jsonl", bundle="one", policy_ref="HEAD")
    assert run_check.check(replace(settings, opinions=("one", two_bundles[1]))).coverage.complete
    with pytest.raises(UsageError, match="the bundle second differs"):
        run_check.check(replace(settings, opinions=("one", "second")))


def test_the_library_takes_several_bundles(run: Run, data: Path) -> None:
    settings = run(data)
    report = sqsd_lint.check(
        data,
        bundle=list(settings.opinions),
        consensus="any",
        model=settings.model,
        dtype="float32",
        device="cpu",
        threshold="p80",
        warning_threshold="p60",
        cache_dir=settings.cache_dir,
    )
    assert (report.head.consensus, len(report.head.bundles)) == ("any", 2)
    assert all(isinstance(row, ScoredRow) and len(row.opinions) == 2 for row in report.rows)
    assert json.dumps(report.exit_code) in ("0", "1")
