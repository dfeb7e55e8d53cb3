"""`bundle calibrate` and its agreement with a target: what is measured on which rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sqsd_lint.bundle.agreement import FEWEST
from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.config import Settings
from sqsd_lint.errors import UsageError
from sqsd_lint.run import score as run_score
from sqsd_lint.run.calibrate import agree, calibrate, reference_rows
from sqsd_lint.types import ScoredRow
from tests.run.conftest import ROWS, write

Run = Callable[..., Settings]


def test_reference_rows_are_taken_from_the_start_of_each_file(tiny_run: Run, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    files = [
        write(tmp_path / "a.jsonl", *ROWS),
        write(tmp_path / "b.jsonl", *ROWS[:2]),
        write(tmp_path / "other/a.jsonl", *ROWS[3:]),
    ]
    found = reference_rows(list(map(str, files)), tiny_run(), rows=3)
    # Files of one name are one set.
    assert {name: [s.where.line for s in rows] for name, rows in found.items()} == {
        "a.jsonl": [1, 2, 3, 1, 2, 3],
        "b.jsonl": [1, 2],
    }


def test_a_reference_set_must_be_clean(tiny_run: Run, tmp_path: Path, bundle_copy: str) -> None:
    bad = write(tmp_path / "bad.jsonl", ROWS[0], "{")
    with pytest.raises(UsageError, match=r"bad\.jsonl:2"):
        reference_rows([str(bad)], tiny_run())
    sample = reference_rows([str(write(bad, ROWS[0]))], tiny_run())["bad.jsonl"][0]
    unscorable = replace(sample, mask=(False, False), fingerprint="f" * 32)
    with pytest.raises(UsageError, match=r"bad\.jsonl:1: .*no assistant turn"):
        calibrate(bundle_copy, {"benign": {"b": [unscorable]}}, tiny_run())


def test_what_is_stored_is_what_score_gives(tiny_run: Run, rows_file: Path, bundle_copy: str) -> None:
    samples = reference_rows([str(rows_file)], tiny_run())["rows.jsonl"]
    made = calibrate(
        bundle_copy, {"benign": {"b": samples[:6]}, "harmful": {"h": samples[6:]}}, tiny_run(max_length=200)
    )
    rows = run_score.score(tiny_run(rows_file, max_length=200))
    scores = [row.score.sqsd for row in rows if isinstance(row, ScoredRow)]
    stored = made.manifest.calibration
    assert stored is not None
    assert list(stored.benign) == pytest.approx(sorted(scores[:6]), abs=1e-6)
    assert list(stored.harmful) == pytest.approx(sorted(scores[6:]), abs=1e-6)
    assert stored.settings == {"max_length": 200, "turns": "all", "long_answers": "windows"}
    assert load_bundle(Path(bundle_copy)).digest == made.digest


def test_added_rows_stand_beside_the_rows_before(tiny_run: Run, tmp_path: Path, bundle_copy: str) -> None:
    many = [{"question": f"{i}?", "answer": f"It is {'so ' * (i % 5)}{i}."} for i in range(240)]
    talk = [{"role": role, "content": f"Words of the {role}."} for role in ("user", "assistant")] * 2
    files = [write(tmp_path / "a.jsonl", *many), write(tmp_path / "b.jsonl", *[{"messages": talk}] * 3)]
    sets = [reference_rows([str(file)], tiny_run()) for file in files]
    with pytest.raises(UsageError, match="no calibration to add to"):
        calibrate(bundle_copy, {"benign": sets[0]}, tiny_run(), add=True)
    first = calibrate(bundle_copy, {"benign": sets[0], "harmful": sets[1]}, tiny_run()).manifest.calibration
    with pytest.raises(UsageError, match="scored with max_length = "):
        calibrate(bundle_copy, {"benign": sets[1]}, tiny_run(max_length=30), add=True)
    second = calibrate(bundle_copy, {"benign": sets[1]}, tiny_run(), add=True).manifest.calibration
    assert first
    assert second
    assert first.length
    assert second.length
    assert [(each.name, each.rows) for each in second.sets.benign] == [("a.jsonl", 240), ("b.jsonl", 3)]
    assert [each.name for each in second.sets.harmful] == ["b.jsonl"]
    assert len(second.benign) == 243
    assert set(second.length.covered.forms) == {"an answer", "a conversation"}
    assert second.length.covered.tokens[0] == first.length.covered.tokens[0]
    # A set of the same name takes the place of the one before.
    again = calibrate(bundle_copy, {"benign": {"b.jsonl": sets[1]["b.jsonl"][:1]}}, tiny_run(), add=True)
    assert again.manifest.calibration
    assert [each.rows for each in again.manifest.calibration.sets.benign] == [240, 1]


def test_a_proxy_agrees_with_itself(tiny_run: Run, tmp_path: Path, bundle_copy: str) -> None:
    many = [{"question": f"{i}?", "answer": f"It is {'so ' * (i % 5)}{i}."} for i in range(FEWEST + 2)]
    file = write(tmp_path / "many.jsonl", *many)
    scores = tmp_path / "scores.jsonl"
    lines = [
        json.dumps({"fingerprint": row.fingerprint, "sqsd": row.score.sqsd})
        for row in run_score.score(tiny_run(file))
        if isinstance(row, ScoredRow)
    ]
    # Rows that the target has not scored are passed by.
    scores.write_text("\n".join(lines[:-1]) + "\n")
    made = agree(bundle_copy, scores, [str(file)], tiny_run(model="org/target", device="cpu"))
    (found,) = made.manifest.agreements
    assert (found.target, found.rows) == ("org/target", FEWEST + 1)
    assert (found.spearman, found.top_decile) == (1.0, 1.0)
    with pytest.raises(UsageError, match="the target's name is missing"):
        agree(bundle_copy, scores, [str(file)], tiny_run(model=None))
