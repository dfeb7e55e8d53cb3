"""What scores samples: which settings make another score, what it notes, when the model is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.config import Settings
from sqsd_lint.run.model_scorer import ModelScorer, scored_modules
from sqsd_lint.run.rows import clean_samples
from sqsd_lint.scoring.cache import cache_path
from sqsd_lint.types import Problem, Sample, Score

Run = Callable[..., Settings]


@pytest.fixture
def make(tiny_run: Run, tmp_path: Path) -> Callable[..., ModelScorer]:
    def scorer(*, exact: bool = False, cache_scores: bool = True, **changes: object) -> ModelScorer:
        settings = tiny_run(**changes)
        bundle = load_bundle(Path(str(settings.bundle)))
        cache = tmp_path / "cache"
        return ModelScorer(bundle, settings, cache_dir=cache, cache_scores=cache_scores, exact=exact)

    return scorer


@pytest.fixture
def samples(tiny_run: Run, rows_file: Path) -> list[Sample]:
    return list(clean_samples(str(rows_file), tiny_run()))


def test_top_blocks_are_counted_from_the_output() -> None:
    names = {f"model.layers.{i}.mlp.up_proj" for i in range(12)} | {"model.extra"}
    assert scored_modules(names, "all") is None
    assert scored_modules(names, 2) == {"model.layers.10.mlp.up_proj", "model.layers.11.mlp.up_proj"}


@pytest.mark.parametrize(
    ("changes", "other"),
    [
        *(({name: value}, True) for name, value in (("metric", "dot"), ("expansion", "shared"))),
        *(({name: value}, True) for name, value in (("max_length", 64), ("turns", "last"))),
        ({"exact": True}, True),
        ({"quantize": "8bit"}, True),
        ({"batch_tokens": 64}, False),
        ({"threshold": "7"}, False),
        ({"checkpointing": "on"}, False),
    ],
)
def test_a_cached_score_is_that_of_the_same_settings(
    make: Callable[..., ModelScorer], samples: list[Sample], changes: dict[str, object], other: bool
) -> None:
    plain = make()
    plain.cache.put([Score(samples[0].fingerprint, 1.0, 0.5, 0.5, 3)])
    assert bool(make(**changes).cache.get([samples[0].fingerprint])) is not other


def test_every_sample_comes_back_scored_or_as_a_problem(
    make: Callable[..., ModelScorer], samples: list[Sample]
) -> None:
    from dataclasses import replace

    odd = replace(samples[0], mask=(False, False), fingerprint="f" * 32)
    scorer = make()
    found = {sample.fingerprint: answer for sample, answer in scorer.score([odd, *samples])}
    assert set(found) == {sample.fingerprint for sample in (odd, *samples)}
    assert isinstance(found.pop(odd.fingerprint), Problem)
    assert scorer.cache.get(s.fingerprint for s in samples) == found


def test_exact_scores_do_not_depend_on_their_neighbours(
    make: Callable[..., ModelScorer], samples: list[Sample]
) -> None:
    def exact(rows: list[Sample]) -> dict[str, object]:
        scorer = make(exact=True, cache_scores=False)
        return {sample.fingerprint: answer for sample, answer in scorer.score(rows)}

    together = exact(samples)
    assert {repr(together[f]) for f in exact(samples[2:3])} == {repr(together[samples[2].fingerprint])}
    assert all(isinstance(score, Score) and score.exact for score in together.values())


def test_without_a_cache_no_file_is_made(
    make: Callable[..., ModelScorer], samples: list[Sample], tmp_path: Path
) -> None:
    scorer = make(cache_scores=False)
    list(scorer.score(samples[:1]))
    assert list(scorer.cache.get([samples[0].fingerprint])) == [samples[0].fingerprint]
    assert not cache_path(tmp_path / "cache").exists()


def test_a_model_that_was_let_go_is_loaded_again(
    make: Callable[..., ModelScorer], samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[ModelScorer] = []
    build = ModelScorer._build

    def counted(self: ModelScorer) -> object:
        built.append(self)
        return build(self)

    monkeypatch.setattr(ModelScorer, "_build", counted)
    scorer = make(cache_scores=False)
    assert built == []
    first = list(scorer.score(samples[:2]))
    list(scorer.score(samples[:2]))
    assert len(built) == 1
    scorer.release()
    assert list(scorer.score(samples[:2])) == first
    assert len(built) == 2


def test_four_bits_are_noted(make: Callable[..., ModelScorer]) -> None:
    assert any("4-bit weights" in note for note in make(quantize="4bit").notes)
    assert make().notes == ()
