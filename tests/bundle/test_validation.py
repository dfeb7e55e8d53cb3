"""The validation in a bundle: from a result of `validate` to the manifest and back."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.bundle.load import Bundle, load_bundle
from sqsd_lint.bundle.manifest import from_json
from sqsd_lint.bundle.validation import read_result, store_validation
from sqsd_lint.bundle.verify import verify
from sqsd_lint.cli.app import main
from sqsd_lint.common.formats import FieldError, plain, read_as
from sqsd_lint.common.schema import schema_problems
from sqsd_lint.errors import UsageError
from sqsd_lint.rules.calibration import ScoreCalibration
from sqsd_lint.types import Validation


def window(high: float, low: float, success: float) -> dict[str, Any]:
    return {
        "sqsd": [high, low],
        "answer_tokens": 30.0,
        "attack_success": success,
        "interval": [max(0.0, success - 0.05), min(1.0, success + 0.05)],
        "per_seed": [success] * 3,
        "margin": 0.1,
        "margin_per_seed": [0.1] * 3,
    }


def result(bundle: Bundle) -> dict[str, Any]:
    """What `validate` writes, as far as it is read."""
    foreseen = {"spearman": 0.91, "interval": [0.5, 0.99]}
    return {
        "version": 1,
        "dose": {"steps": 75, "lr": 4e-4, "batch_size": 8, "warmup": 0.1, "max_grad_norm": 1.0},
        "seeds": [0, 1, 2],
        "size": 10,
        "strata": 2,
        "untrained": {"attack_success": 0.0, "margin": 0.33},
        "prompts": 90,
        "judge": "refusal phrases",
        "base_model": "tiny",
        "bundle": {
            "id": bundle.id,
            "digest": bundle.digest,
            "scoring_digest": bundle.scoring_digest,
        },
        "metric": bundle.manifest.metric,
        "expansion": bundle.manifest.expansion,
        "max_length": 384,
        "rows": 60,
        "rankings": {
            "sqsd": {
                "windows": [window(9.0, 5.0, 0.9), window(1.0, -1.0, 0.4), window(-3.0, -8.0, 0.1)],
                "attack_success": foreseen,
                "margin_loss": foreseen,
            },
            "random": {
                "windows": [window(9.0, -8.0, 0.2), window(9.0, -8.0, 0.6), window(9.0, -8.0, 0.4)],
                "attack_success": foreseen,
                "margin_loss": foreseen,
            },
        },
    }


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_a_result_is_kept_and_read_back(bundle: Bundle, tmp_path: Path) -> None:
    found = read_result(write(tmp_path / "result.json", result(bundle)), bundle)
    assert (found.random, found.runs, found.strata, found.max_length) == (pytest.approx(0.4), 3, 2, 384)
    assert [w.sqsd for w in found.windows] == [(5.0, 9.0), (-1.0, 1.0), (-8.0, -3.0)]
    kept = store_validation(bundle, found)
    assert kept.manifest.validation == found == load_bundle(kept.root).manifest.validation
    assert kept.scoring_digest == bundle.scoring_digest
    assert kept.digest != bundle.digest
    assert verify(kept.root) == []


def test_a_bundle_without_one_has_the_digest_that_it_always_had(bundle: Bundle) -> None:
    assert "validation" not in bundle.manifest.to_json()


def test_percentiles_belong_to_the_calibration_of_the_day(bundle: Bundle, tmp_path: Path) -> None:
    found = read_result(write(tmp_path / "result.json", result(bundle)), bundle)
    placed = found.placed(ScoreCalibration(tuple(map(float, range(-10, 10)))).percentile)
    assert placed.windows[0].percentiles == (77.5, 97.5)
    assert [window.sqsd for window in placed.windows] == [window.sqsd for window in found.windows]
    with pytest.raises(FieldError, match=r"windows\[0\]\.percentiles: unknown key"):
        read_as(Validation, plain(placed))


def test_windows_by_what_the_gate_compares_come_first(bundle: Bundle, tmp_path: Path) -> None:
    raw = result(bundle)
    raw["rankings"]["risk/length"] = {
        **raw["rankings"]["sqsd"],
        "windows": [
            {**window(9.0, 5.0, 0.5), "risk": [3.5, 1.5]},
            {**window(1.0, -1.0, 0.1), "risk": [0.1, -2.0]},
        ],
    }
    found = read_result(write(tmp_path / "result.json", raw), bundle)
    assert (found.ranking, found.strata, found.random_range) == ("risk/length", 5, (0.2, 0.6))
    assert [each.compared for each in found.windows] == [(1.5, 3.5), (-2.0, 0.1)]
    assert [each.percentiles[0] for each in found.placed(lambda risk: 10 * risk).windows] == [15.0, -20.0]


def test_a_result_of_other_scores_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    for change, said in (
        ({"metric": "dot"}, "made with --metric dot"),
        ({"update": "full"}, "trained with --update full, where .* scores lora updates"),
        ({"bundle": {"id": "x", "digest": "0" * 64, "scoring_digest": "1" * 64}}, "other scores"),
        ({"bundle": {"id": "x", "digest": "0" * 64}}, "scoring_digest` is missing"),
        ({"rankings": {}}, "no windows by risk or SQSD"),
        ({"version": 9}, "version 9"),
        ({"bundle": "x"}, "not a result"),
    ):
        with pytest.raises(UsageError, match=said):
            read_result(write(path, {**result(bundle), **change}), bundle)
    for broken in ("[]", "{}", "not json", '{"version": 1}'):
        path.write_text(broken)
        with pytest.raises(UsageError, match="not a result of"):
            read_result(path, bundle)
    with pytest.raises(UsageError, match="not a result of"):
        read_result(tmp_path / "absent.json", bundle)


def test_an_older_result_of_this_very_bundle_is_taken(bundle: Bundle, tmp_path: Path) -> None:
    old = result(bundle)
    del old["bundle"]["scoring_digest"], old["strata"], old["max_length"], old["rankings"]["random"]
    old["rankings"]["sqsd"]["attack_success"] = {"spearman": None}
    found = read_result(write(tmp_path / "result.json", old), bundle)
    assert (found.strata, found.max_length, found.random, found.spearman) == (1, None, None, None)


BROKEN: list[tuple[str, Any, str]] = [
    ("windows", [], "expected a list of 1 or more"),
    ("rows", 0, "1 or more"),
    ("before", 1.5, "from 0 to 1"),
    ("spearman", 2.0, "from -1 to 1"),
    ("spearman_interval", [0.5], "two ascending"),
    ("spearman_interval", [0.9, 0.5], "two ascending"),
    ("lr", -1.0, "0 or more"),
    ("colour", "red", "unknown key"),
]


@pytest.mark.parametrize(("key", "value", "said"), BROKEN)
def test_a_damaged_validation_is_refused(
    bundle: Bundle, tmp_path: Path, key: str, value: Any, said: str
) -> None:
    good = plain(read_result(write(tmp_path / "result.json", result(bundle)), bundle))
    assert read_as(Validation, good).rows == 60
    with pytest.raises(FieldError, match=said):
        read_as(Validation, {**deepcopy(good), key: value}, root="validation")
    raw = {**json.loads(json.dumps(bundle.manifest.to_json())), "validation": {**good, key: value}}
    with pytest.raises(FieldError):
        from_json(raw)
    if value != [0.9, 0.5]:
        assert schema_problems(raw, "bundle")


def test_the_command_keeps_it_and_shows_it(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "result.json", result(bundle))
    assert main(["bundle", "calibrate", str(bundle.root), "--validation", str(path)]) == 0
    capsys.readouterr()
    assert main(["bundle", "show", str(bundle.root)]) == 0
    shown = capsys.readouterr().out
    assert "windows of 10 of 60 rows by sqsd within 2 strata of answer length, 3 runs each, 75 steps" in shown
    assert "0% answered before training, 20% to 60% after random windows" in shown
    assert main(["bundle", "show", str(bundle.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["validation"]["windows"][0]["attack_success"] == 0.9
    write(path, {**result(bundle), "expansion": "elsewhere"})
    assert main(["bundle", "calibrate", str(bundle.root), "--validation", str(path)]) == 2
