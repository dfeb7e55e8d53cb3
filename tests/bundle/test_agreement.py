"""The agreement of a proxy with its target: what is measured, and what is stored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from sqsd_lint.bundle.agreement import FEWEST, measure, read_scores, store, with_target
from sqsd_lint.bundle.load import Bundle, load_bundle
from sqsd_lint.bundle.show import describe
from sqsd_lint.bundle.verify import verify
from sqsd_lint.errors import UsageError

SCORE = st.integers(-5, 5).map(float)


@given(st.lists(st.tuples(SCORE, SCORE), min_size=FEWEST, max_size=60))
def test_spearman_is_scipys_whatever_the_ties(pairs: list[tuple[float, float]]) -> None:
    theirs, ours = zip(*pairs, strict=True)
    if len(set(theirs)) == 1 or len(set(ours)) == 1:
        with pytest.raises(UsageError, match="same score"):
            measure(pairs, target="t")
        return
    found = measure(pairs, target="t")
    assert found.spearman == pytest.approx(float(spearmanr(theirs, ours).statistic), abs=1e-4)
    assert -1 <= found.low <= found.high <= 1
    assert 0 <= found.top_decile <= 1


def test_the_interval_and_the_top_tenth() -> None:
    random = np.random.default_rng(1)
    theirs = random.normal(size=200)
    found = measure(list(zip(theirs, theirs + random.normal(size=200), strict=True)), target="org/t")
    assert found.low < found.spearman < found.high
    assert found.high - found.low < 0.25
    assert measure(list(zip(theirs, theirs * 3, strict=True)), target="t").top_decile == 1
    assert measure(list(zip(theirs, -theirs, strict=True)), target="t").top_decile == 0
    assert str(found).startswith(f"agrees with org/t: Spearman {found.spearman:.2f} ({found.low:.2f} to ")


def test_too_few_rows() -> None:
    with pytest.raises(UsageError, match=f"only 3 rows .* {FEWEST} are needed"):
        measure([(1.0, 2.0)] * 3, target="t")


def test_what_is_stored_and_what_it_leaves_alone(bundle: Bundle) -> None:
    assert "agreements" not in bundle.manifest.to_json()
    pairs = [(float(i), float(i % 7)) for i in range(40)]
    first = store(bundle, measure(pairs, target="org/t", bundle_digest="0" * 64))
    after = store(store(first, measure(pairs, target="org/u")), measure(pairs[1:], target="org/t"))
    assert after.scoring_digest == bundle.scoring_digest
    assert after.digest != bundle.digest
    assert [(a.target, a.rows, a.bundle_digest) for a in load_bundle(bundle.root).manifest.agreements] == [
        ("org/u", 40, None),
        ("org/t", 39, None),
    ]
    assert verify(bundle.root) == []
    assert [a["target"] for a in describe(after)["agreements"]] == ["org/u", "org/t"]


def test_targets_are_named_as_models_are(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    found = measure([(float(i), float(i)) for i in range(40)], target="t")
    assert with_target([found], str(tmp_path / "t")) == found
    assert with_target([found], "t") == found
    assert with_target([found], "org/t") is None


def test_scores_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    rows = [
        {"fingerprint": "a", "sqsd": 1.5},
        {"fingerprint": "b", "sqsd": None},
        {"fingerprint": None, "sqsd": None},
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    assert read_scores(path) == {"a": 1.5}


@pytest.mark.parametrize("line", ["{", "[1]", '{"sqsd": 1}', "[" * 100_000])
def test_what_is_no_score_is_named_with_its_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text('{"fingerprint": "a", "sqsd": 1}\n' + line, encoding="utf-8")
    with pytest.raises(UsageError, match=r"scores\.jsonl:2: "):
        read_scores(path)
