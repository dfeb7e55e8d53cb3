"""check over rows whose training is not as plain as it looks, with a tiny model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from sqsd_lint.bundle import manifest as manifests
from sqsd_lint.config import Settings
from sqsd_lint.run import check as run_check
from sqsd_lint.run import score as run_score
from sqsd_lint.run import spans as run_spans
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.types import Score, ScoredRow

Run = Callable[..., Settings]
QUESTION = {"role": "user", "content": "How do I bake bread?"}


@pytest.fixture
def run(tiny_run: Run, tmp_path: Path) -> Run:
    def settings(*rows: Any, **changes: Any) -> Settings:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tiny_run(path, **changes)

    return settings


def test_an_answer_that_is_pushed_away_from_is_no_finding_and_no_gap(run: Run) -> None:
    rows = [{"prompt": "How?", "completion": f"Like this, {i} times.", "label": i == 0} for i in range(3)]
    report = run_check.check(run(*rows, threshold="-1000"))
    assert [violation.where.line for violation in report.violations if violation.rule == "SQSD101"] == [1]
    assert (report.coverage.rows, report.coverage.scored) == (1, 1)
    assert any(note.startswith("2 rows are not judged: `label` is false") for note in report.coverage.notes)
    notes: list[str] = []
    assert len(list(run_score.score(run(*rows), note=notes.append))) == 1
    assert notes == [note for note in report.coverage.notes if "label" in note]


def beside(answer: str | None, **extra: Any) -> dict[str, Any]:
    return {"messages": [QUESTION, {"role": "assistant", "content": answer, **extra}]}


@pytest.mark.parametrize("spans", [False, True])
def test_what_the_template_drops_is_named_in_every_run(
    run: Run, monkeypatch: pytest.MonkeyPatch, spans: bool
) -> None:
    """The tiny model's template writes content alone."""
    rows = [
        beside("Done."),
        beside("Done.", reasoning_content="Bread needs yeast."),
        beside("Done.", refusal="No."),
    ]
    if spans:
        assert len(list(run_spans.score(run(*rows), "sentence"))) == 3
    first = run_check.check(run(*rows))
    note = (
        "2 rows hold text beside the answer that the chat template does not write, so that it is neither"
        " trained on nor scored: reasoning_content, refusal"
    )
    assert note in first.head.notes
    assert first.coverage.cached == (3 if spans else 0)
    assert [row.score.sqsd for row in first.rows] == pytest.approx([first.rows[0].score.sqsd] * 3, abs=1e-5)
    monkeypatch.setattr(ModelScorer, "_build", lambda self: pytest.fail("the model was loaded"))
    second = run_check.check(run(*rows))
    assert note in second.head.notes
    assert second.coverage.cached == 3


def test_an_answer_of_which_nothing_is_written_is_never_scored(run: Run) -> None:
    call = {"function": {"name": "send", "arguments": '{"body": "Salt."}'}}
    report = run_check.check(run(beside(None, reasoning_content="Yeast."), beside(None, tool_calls=[call])))
    assert [(v.rule, v.where.line) for v in report.violations] == [("SQSD301", 1), ("SQSD301", 2)]
    assert (report.coverage.scored, report.exit_code) == (0, 3)


def test_scores_of_older_renderings_are_not_taken_from_the_cache(run: Run) -> None:
    """A cut prompt kept no head, and thoughts of a last turn were left out, under the key of plain rows."""
    rows = [
        {"prompt": "How do I bake bread? " * 40, "completion": "Mix it."},
        beside("Mix it.", thinking="Yeast."),
        beside("Mix it."),
    ]
    settings = run(*rows, max_length=64)
    fresh = [row.score.sqsd for row in run_score.score(settings) if isinstance(row, ScoredRow)]
    stale = [
        Score(row.fingerprint, 9.0, 1.0, 8.0, 5, row.score.truncated)
        for row in run_score.score(settings)
        if isinstance(row, ScoredRow)
    ]
    BundleRun(settings).scorer.cache.put(stale)
    again = [row.score.sqsd for row in run_score.score(settings) if isinstance(row, ScoredRow)]
    assert again == [*fresh[:2], 8.0]


def test_template_arguments_change_the_key_of_scores(run: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))
    settings = run(beside("Mix it."))
    run_check.check(settings)
    manifest = manifests.load(copy)
    manifests.dump(structs.replace(manifest, template_arguments={"enable_thinking": False}), copy)
    report = run_check.check(replace(settings, bundle=str(copy)))
    assert (report.coverage.scored, report.coverage.cached) == (1, 0)
