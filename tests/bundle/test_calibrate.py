"""Calibration: what is stored, and what it leaves alone."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from sqsd_lint.bundle.calibrate import ScoredSet, calibrate
from sqsd_lint.bundle.load import Bundle, load_bundle
from sqsd_lint.bundle.show import CANDIDATES, candidate_thresholds, describe
from sqsd_lint.bundle.verify import verify
from sqsd_lint.errors import UsageError
from sqsd_lint.types import Score, Threshold


def scores(*values: float) -> list[Score]:
    return [Score(f"{i:032x}", v + 1, 1.0, v, tokens=7) for i, v in enumerate(values)]


BENIGN = [ScoredSet("dolly", scores(3.0, -1.23456789, 2.0)), ScoredSet("gsm8k", scores(0.5))]
HARMFUL = [ScoredSet("bad", scores(9.0, 8.0))]


def calibrated(bundle: Bundle) -> Bundle:
    pairs = [tuple(scores(*pair)) for pair in ((1.0, 1.1), (2.0, 1.75), (0.0, 0.0))]
    return calibrate(
        bundle, BENIGN, HARMFUL, dtype_pairs=pairs, dtype="bfloat16", settings={"max_length": 1024}
    )


def test_what_is_stored(bundle: Bundle) -> None:
    after = calibrated(bundle)
    stored = after.manifest.calibration
    assert stored is not None
    assert stored.benign == (-1.23457, 0.5, 2.0, 3.0)
    assert stored.harmful == (8.0, 9.0)
    assert stored.tolerance == 0.25
    assert [(s.name, s.rows) for s in stored.sets.benign] == [("dolly", 3), ("gsm8k", 1)]
    assert len({s.sha256 for s in (*stored.sets.benign, *stored.sets.harmful)}) == 3
    table = pq.read_table(after.root / "calibration.parquet").to_pylist()
    assert [(row["role"], row["set"], row["sqsd"]) for row in table][:2] == [
        ("benign", "dolly", 3.0),
        ("benign", "dolly", pytest.approx(-1.23456789)),
    ]
    assert {"fingerprint", "danger", "safety", "tokens"} <= set(table[0])
    assert len(table) == 6
    assert verify(after.root) == []


def test_cached_scores_survive_a_calibration(bundle: Bundle) -> None:
    after = calibrated(bundle)
    assert after.scoring_digest == bundle.scoring_digest
    assert after.digest != bundle.digest
    again = calibrated(after)
    assert again.digest == after.digest
    assert load_bundle(bundle.root).digest == after.digest


def test_nothing_to_calibrate_with(bundle: Bundle) -> None:
    before = load_bundle(bundle.root).digest
    with pytest.raises(UsageError, match="benign"):
        calibrate(bundle, [ScoredSet("none", [])], HARMFUL, dtype_pairs=[], dtype="float32")
    assert load_bundle(bundle.root).digest == before


def test_describe_leaves_the_scores_out(bundle: Bundle) -> None:
    assert describe(bundle)["calibration"] is None
    shown = describe(calibrated(bundle))
    assert shown["calibration"]["benign_rows"] == 4
    assert shown["calibration"]["harmful_rows"] == 2
    assert "benign" not in shown["calibration"]
    assert shown["bytes"] > 0
    assert shown["notes"] == ["small proxy"]


def test_candidate_thresholds_are_resolved_in_order() -> None:
    assert [line.spec for line in candidate_thresholds(lambda spec: Threshold(spec, 1.0))] == list(CANDIDATES)
