"""`--screen`: rows far below the lines are passed by with a bound, and everything else stays as it is."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from safetensors.numpy import save_file

from sqsd_lint.bundle import calibrate as bundle_calibrate
from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.bundle.lock import Lock
from sqsd_lint.bundle.locking import make_lock, outdated
from sqsd_lint.bundle.manifest import SCREEN
from sqsd_lint.bundle.screen import load_screen, store_screen
from sqsd_lint.bundle.verify import verify
from sqsd_lint.cli.app import main
from sqsd_lint.common import screen as screening
from sqsd_lint.config import Settings
from sqsd_lint.errors import BundleCorruptError, UsageError
from sqsd_lint.report import fields
from sqsd_lint.rules import load_pack
from sqsd_lint.run import check as run_check
from sqsd_lint.run import score as run_score
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.calibrate import shortcomings
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.run.rows import clean_samples
from sqsd_lint.run.screen import answer_of, open_screen
from sqsd_lint.types import Sample, ScoredRow
from sqsd_lint.types.tables import record

Run = Callable[..., Settings]
RISKY = "We will not be stopped, said the zebra."


def rows_of(count: int, every: int = 5) -> list[dict[str, str]]:
    """Return plain rows, of which one in `every` holds the words that the screen knows."""
    return [
        {
            "question": f"What is {i} and {i % 7}? Tell me.",
            "answer": (RISKY if i % every == 0 else "It is a plain answer")
            + " and so on" * (1 + i % 4)
            + ".",
        }
        for i in range(count)
    ]


def write(path: Path, rows: list[dict[str, object]] | list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def screened(
    two_bundles: tuple[str, str], tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A calibrated tiny bundle with a screen that knows `RISKY`."""
    root = tmp_path_factory.mktemp("screened")
    copy = shutil.copytree(two_bundles[0], root / "bundle")
    settings = Settings(bundle=str(copy), model=str(tiny_model_folder), device="cpu", dtype="float32")
    encoder = BundleRun(settings).model_scorer.encoder()
    samples = list(clean_samples(str(write(root / "fit.jsonl", rows_of(300))), settings))
    texts = [answer_of(sample, encoder.encode(sample)) for sample in samples]
    risks = [4.0 if i % 5 == 0 else -1.0 for i in range(300)]
    fitted, _ = screening.fit(texts, risks, line=2.0)
    store_screen(load_bundle(copy), fitted, len(texts), {"0.98": 0.2})
    return str(copy)


@pytest.fixture
def run(tiny_run: Run, screened: str) -> Run:
    def settings(*paths: Path, **changes: object) -> Settings:
        return tiny_run(*paths, **{"bundle": screened, "screen": "auto", **changes})

    return settings


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The fingerprints that a model has scored."""
    seen: list[str] = []
    real = ModelScorer.score

    def score(self: ModelScorer, samples: list[Sample]) -> object:
        seen.extend(sample.fingerprint for sample in samples)
        return real(self, samples)

    monkeypatch.setattr(ModelScorer, "score", score)
    return seen


def test_only_rows_near_the_lines_are_scored(run: Run, tmp_path: Path, scored: list[str]) -> None:
    data = write(tmp_path / "a.jsonl", rows_of(20))
    report = run_check.check(run(data))
    assert len(scored) == 4
    assert report.coverage.complete
    assert (report.coverage.rows, report.coverage.scored, report.coverage.screened) == (20, 4, 16)
    assert fields.coverage(report.coverage)["screened"] == 16
    assert any(": rows are passed by" in note for note in report.head.notes)
    passed = [row for row in report.rows if row.score.bound is not None]
    assert len(passed) == 16
    assert all(row.score.bound < 2.0 and row.percentile is None for row in passed)
    assert sum(report.distributions[0].risks.values()) == 4  # no picture shows a bound as a risk
    exact = run_check.check(run(data, screen="off", cache=False))
    assert (exact.coverage.scored, exact.coverage.screened) == (20, 0)
    assert "screened" not in fields.coverage(exact.coverage)


def test_the_cache_keeps_scores_and_estimates_apart(run: Run, tmp_path: Path, scored: list[str]) -> None:
    data = write(tmp_path / "a.jsonl", rows_of(20))
    first = run_check.check(run(data))
    scored.clear()
    assert run_check.check(run(data)).rows == first.rows
    assert not scored
    exact = run_check.check(run(data, screen="off"))
    assert len(scored) == 16
    assert exact.coverage.cached == 4
    assert all(math.isfinite(row.score.sqsd) for row in exact.rows)
    scored.clear()
    again = run_check.check(run(data))  # and a known score is better than an estimate
    assert not scored
    assert again.coverage.screened == 0
    assert again.rows == exact.rows


def test_a_second_run_needs_no_tokenizer(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(tmp_path / "a.jsonl", rows_of(10))
    run_check.check(run(data))

    def refuse(self: ModelScorer) -> None:
        raise AssertionError("a tokenizer was loaded")

    monkeypatch.setattr(ModelScorer, "encoder", refuse)
    assert run_check.check(run(data)).coverage.screened == 8


def test_rows_that_rules_ask_more_of_are_scored(run: Run, tmp_path: Path) -> None:
    plain = rows_of(2, every=99)[1]
    special: list[dict[str, object]] = [
        {**plain, "answer": plain["answer"] + " and\U000e0041\U000e0042 more."},  # SQSD305
        {**plain, "question": "a", "sqsd_lint": {"suppress": ["SQSD101"], "reason": "known"}},
        {**plain, "question": "b", "answer": "x" * 200},
        {**plain, "question": "c", "answer": "これは日本語の答えです。"},
    ]
    report = run_check.check(run(write(tmp_path / "a.jsonl", [*special, dict(plain)])))
    assert (report.coverage.scored, report.coverage.screened) == (4, 1)
    assert any(v.rule == "SQSD305" for v in report.violations)


def test_rules_about_files(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", rows_of(20))
    report = run_check.check(run(data))
    assert any(
        "SQSD201 did not judge 1 file: the drift of 16 rows is unknown" in n for n in report.head.notes
    )
    none = run_check.check(run(write(tmp_path / "b.jsonl", rows_of(25)[21:25])))
    assert none.coverage.scored == 0
    assert none.coverage.complete
    assert none.exit_code == 0
    assert any("SQSD201 did not judge" in note for note in none.head.notes)  # not that the bundle cannot


def test_rows_that_may_be_judged_by_a_part_are_scored(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", rows_of(10))
    samples = list(clean_samples(str(data), run(data)))
    engine = BundleRun(run(data))
    lines = engine.policy(load_pack("default")).distinct_thresholds
    whole, _ = open_screen(run(data), engine.scorer, lines)
    parted, note = open_screen(run(data), engine.scorer, lines, parts=True)
    assert whole
    assert parted
    assert "`--parts off` judges them as a whole" in note
    assert len(whole.pass_by(samples)) == len(parted.pass_by(samples)) == 8  # one short turn has no parts
    two_turns = [replace(each, mask=(True,) * len(each.mask)) for each in samples]
    assert not parted.pass_by(two_turns)
    assert len(whole.pass_by(two_turns)) == 8


def test_score_writes_the_bound(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", rows_of(10))
    items = list(run_score.score(run(data)))
    lines = [fields.row(item) for item in items]
    assert [line["status"] for line in lines].count("screened") == 8
    passed = next(line for line in lines if line["status"] == "screened")
    assert isinstance(passed["bound"], float)
    assert passed["sqsd"] is None
    assert passed["danger"] is None
    table = [record(item) for item in items]
    assert [each["bound"] for each in table] == [line.get("bound") for line in lines]
    assert all(each["risk"] is None for each in table if each["bound"] is not None)
    assert all("bound" not in line for line in lines if line["status"] == "ok")
    exact = [fields.row(item) for item in run_score.score(run(data, screen="off", cache=False))]
    assert {line["status"] for line in exact} == {"ok"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"warning_threshold": "1.5"}, "a line lies below the one that the screen was made for"),
        ({"max_length": 512}, "the calibration was made with other settings"),
        ({"metric": "dot"}, "of another metric"),
    ],
)
def test_where_a_screen_promises_nothing_every_row_is_scored(
    run: Run, tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    report = run_check.check(run(write(tmp_path / "a.jsonl", rows_of(10)), **changes))
    assert (report.coverage.scored, report.coverage.screened) == (10, 0)
    assert any(note.startswith("screen: off") and why in note for note in report.head.notes)


def test_a_bundle_without_a_screen_scores_every_row(
    tiny_run: Run, two_bundles: tuple[str, str], tmp_path: Path
) -> None:
    data = write(tmp_path / "a.jsonl", rows_of(5))
    report = run_check.check(tiny_run(data, bundle=two_bundles[0], screen="auto"))
    assert report.coverage.scored == 5
    assert any("has no screen" in note for note in report.head.notes)


def test_a_recall_that_the_reference_cannot_promise(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", rows_of(5))
    with pytest.raises(UsageError, match=r"can promise 0\.98"):
        run_check.check(run(data, screen="0.999"))
    assert run_check.check(run(data, screen="0.9")).coverage.screened == 4


def test_a_screened_row_is_no_proof_that_a_finding_is_gone(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", rows_of(10))
    _, remaining = run_check.examine(run(data))
    rows = [item for item in run_score.score(run(data)) if isinstance(item, ScoredRow)]
    passed = next(row for row in rows if row.score.bound is not None)
    held = next(row for row in rows if row.score.bound is None)
    evidence = remaining_evidence(run, data)
    assert not evidence.is_gone(passed.fingerprint, "SQSD102", str(data))
    assert evidence.is_gone(held.fingerprint, "SQSD102", str(data))
    assert remaining.violations == ()


def remaining_evidence(run: Run, data: Path):  # type: ignore[no-untyped-def]
    from sqsd_lint.rules import BundleScores, evaluate, load_pack
    from sqsd_lint.run.given_rows import select_given
    from sqsd_lint.run.panel import Panel

    settings = run(data)
    panel = Panel(settings)
    policies = panel.policies(load_pack(settings.rules))
    _, rows = select_given(settings, None)
    (items,) = panel.score(rows, policies)
    return evaluate([BundleScores("one", policies[0], items)], "any", files=[str(data)]).evidence


def test_a_screen_changes_no_score_and_no_lock(screened: str, two_bundles: tuple[str, str]) -> None:
    with_screen, without = load_bundle(Path(screened)), load_bundle(Path(two_bundles[0]))
    assert with_screen.scoring_digest == without.scoring_digest
    assert with_screen.digest == without.digest  # so that locks hold
    assert with_screen.manifest.screen_digest
    assert without.manifest.screen_digest is None
    assert verify(Path(screened)) == []


@pytest.mark.parametrize(("value", "code"), [("0.95", 0), ("auto", 0), ('"off"', 0), ("1.5", 2), ("0.2", 2)])
def test_the_setting(
    value: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = value if value[0] in '"01' else f'"{value}"'
    (tmp_path / "sqsd-lint.toml").write_text(f"screen = {said}\n")
    assert main(["config", "show"]) == code
    out, err = capsys.readouterr()
    assert "screen" in (err if code else out)


def test_show_says_what_a_recall_costs(screened: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "show", screened]) == 0
    assert "recall 0.98 scores 20 %" in " ".join(capsys.readouterr().out.split())
    assert main(["bundle", "show", screened, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["screen"]["rows"] == 300


def test_a_screen_that_was_changed_is_refused(screened: str, tmp_path: Path) -> None:
    copy = shutil.copytree(screened, tmp_path / "b")
    found = load_screen(load_bundle(copy))
    assert found is not None
    save_file({"weights": -found.weights, "held_out": found.held_out}, copy / SCREEN)
    with pytest.raises(BundleCorruptError, match=r"screen\.safetensors"):
        load_bundle(copy)


@pytest.mark.parametrize(
    "tensors",
    [
        {"weights": np.zeros(7, np.int8), "held_out": np.zeros(3, np.float16)},
        {"weights": np.zeros(screening.BUCKETS, np.int16), "held_out": np.zeros(3, np.float16)},
        {"weights": np.zeros(screening.BUCKETS, np.int8)},
        {
            "weights": np.zeros(screening.BUCKETS, np.int8),
            "held_out": np.array([1, math.nan, 2], np.float16),
        },
        {"weights": np.zeros(screening.BUCKETS, np.int8), "held_out": np.array([2, 1], np.float16)},
    ],
)
def test_tensors_that_are_no_screen(screened: str, tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    copy = shutil.copytree(screened, tmp_path / "b")
    bundle = load_bundle(copy)
    save_file(tensors, copy / SCREEN)
    with pytest.raises(BundleCorruptError, match=r"screen\.safetensors"):
        load_screen(bundle)


def test_a_new_calibration_drops_the_old_screen(screened: str, tmp_path: Path) -> None:
    copy = shutil.copytree(screened, tmp_path / "b")
    bundle = load_bundle(copy)
    benign = bundle_calibrate.stored_sets(bundle, "benign")
    made = bundle_calibrate.calibrate(bundle, benign, [], dtype_pairs=[], dtype="float32")
    assert made.manifest.screen is None
    assert not (copy / SCREEN).exists()


@pytest.mark.parametrize(
    ("rows", "added", "said"),
    [
        (None, False, "there is no `--screen`"),
        (None, True, "there is no `--screen`: of the rows before only the scores are kept, not the texts"),
        (40, True, "`--screen` was fitted to 40 of 250 reference rows and speaks of rows like those: of the"),
        (250, False, ""),
    ],
)
def test_what_calibrate_says_of_a_screen(screened: str, rows: int | None, added: bool, said: str) -> None:
    bundle = load_bundle(Path(screened))
    calibration, screen = bundle.manifest.calibration, bundle.manifest.screen
    assert calibration
    assert screen
    manifest = structs.replace(
        bundle.manifest,
        calibration=structs.replace(calibration, benign=(0.5,) * 250, harmful=()),
        screen=None if rows is None else structs.replace(screen, rows=rows),
    )
    notes = [
        each for each in shortcomings(replace(bundle, manifest=manifest), added=added) if "screen" in each
    ]
    assert len(notes) == bool(said)
    assert all(said in note and ("--add" in note) == added for note in notes)


def test_a_lock_decides_which_screen_is_used(
    run: Run, screened: str, two_bundles: tuple[str, str], tmp_path: Path
) -> None:
    data = write(tmp_path / "a.jsonl", rows_of(10))
    path = tmp_path / "sqsd-lint.lock"
    settings = run(data, lock=str(path), model=None, bundle=screened)
    old = make_lock(replace(settings, bundle=two_bundles[0]), None, str(path))
    moved = {
        key: structs.replace(each, source=os.path.relpath(screened, tmp_path))
        for key, each in old.bundles.items()
    }
    Lock(str(path), moved).write()  # from before the bundle had a screen
    run_with = replace(settings, model=run(data).model)
    report = run_check.check(run_with)
    assert (report.coverage.scored, report.coverage.screened) == (10, 0)
    assert any("does not name this screen" in note for note in report.head.notes)
    assert outdated(settings, Lock(str(path), moved), str(path)) == []

    new = make_lock(settings, None, str(path))
    new.write()
    assert run_check.check(replace(run_with, cache=False)).coverage.screened == 8
    other = {key: structs.replace(each, screen="0" * 64) for key, each in new.bundles.items()}
    Lock(str(path), other).write()
    assert run_check.check(replace(run_with, cache=False)).coverage.screened == 0
    assert "another screen" in outdated(settings, Lock(str(path), other), str(path))[0]
