"""Where the scores of a run come from: one function picks the source, and one Protocol says what it gives.

A source knows its bundle before any row is scored, and makes scorers under it: the one of the run, and those
for rows near a threshold. Whoever adds a source adds a class with the members of `ScoreSource`, and a line to
`open_source`; nothing else asks where scores come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from sqsd_lint.bundle.load import Bundle, BundleInfo
from sqsd_lint.bundle.resolve import open_for
from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.errors import UsageError
from sqsd_lint.rules.calibration import ScoreCalibration
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.run.spread_scorer import SpreadScorer
from sqsd_lint.types import Expansion, Metric, Problem, Sample, Score


class SampleScorer(Protocol):
    """Scores of samples by one bundle under one setting."""

    @property
    def device(self) -> str:
        """Name of the device that computes, as the report's head shows it."""

    @property
    def dtype(self) -> str:
        """Name of the number format that scores are computed in."""

    @property
    def exact(self) -> bool:
        """Whether no device, dtype or neighbour in a batch can move a score."""

    @property
    def metric(self) -> Metric:
        """How an update is compared with a direction."""

    @property
    def expansion(self) -> Expansion:
        """Where updates are taken."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a report has to say of the scores; complete once all rows are scored."""

    @property
    def cache_notes(self) -> tuple[str, ...]:
        """What the reader of a report has to know about the score cache."""

    @property
    def uncovered(self) -> float:
        """The share of the base model that no score covers, as far as it is known."""

    @property
    def base_place(self) -> Path | None:
        """The folder that a base model is read from, if a change could bring it; else None."""

    @property
    def why_no_parts(self) -> str:
        """Why it cannot score rows part by part, "" where it can."""

    @property
    def calibration(self) -> ScoreCalibration | None:
        """The bundle's calibration, unless the settings ask for other scores."""

    def recall(self, samples: Mapping[str, Sample]) -> dict[str, Score]:
        """Return the scores that are known of samples, by fingerprint."""

    def score(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Score | Problem]]:
        """Yield each sample once, in any order, with its score or why it has none.

        Args:
            samples: no two of them with the same fingerprint.

        Raises:
            CannotScoreError: no score can be had at all.
        """

    def recall_parts(self, samples: Mapping[str, Sample]) -> dict[str, Score]:
        """Return the scores that are known of samples' worst parts, by fingerprint."""

    def score_parts(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Score | Problem]]:
        """Yield the score of each sample's worst part, otherwise as `score` does."""

    def release(self) -> None:
        """Let go of what takes memory; what `notes` has to say stays."""


class ScoreSource(Protocol):
    """A bundle, and scorers with it."""

    @property
    def bundle(self) -> BundleInfo:
        """The bundle that scores are by; it has passed the lock, if there is one."""

    def scorer(self, *, exact: bool, cache_scores: bool) -> SampleScorer:
        """Return a scorer; nothing heavy is loaded yet.

        Args:
            exact: in float32 and fixed shape, so that no device, dtype or neighbour in a batch moves a score.
            cache_scores: keep scores on disk, and use those that are there.
        """

    def float32_scorer(self, *, cache_scores: bool) -> SampleScorer | None:
        """Return a scorer in float32 and batches of any shape; None where that is not to be chosen here."""


class LocalModel:
    """Scores by a model of this machine, with the bundle that the settings name.

    Raises:
        BundleError: there is none, or it is not the locked one.
    """

    def __init__(self, settings: Settings, *, cache_dir: Path, progress: Progress | None = None) -> None:
        status = progress.status if progress else None
        self.bundle: Bundle = open_for(settings, cache_dir=cache_dir, status=status)
        self._settings = settings
        self._cache_dir = cache_dir
        self._progress = progress

    def scorer(self, *, exact: bool, cache_scores: bool) -> ModelScorer:
        """Return a scorer; its model is loaded once a row needs it."""
        return self._scorer(self._settings, exact=exact, cache_scores=cache_scores)

    def float32_scorer(self, *, cache_scores: bool) -> ModelScorer:
        """Return a scorer as the run's own is, but in float32."""
        settings = replace(self._settings, dtype="float32")
        return self._scorer(settings, exact=False, cache_scores=cache_scores)

    def _scorer(self, settings: Settings, *, exact: bool, cache_scores: bool) -> ModelScorer:
        # The few rows that are scored exactly need one device.
        kind = ModelScorer if exact or settings.workers == "1" else SpreadScorer
        return kind(
            self.bundle,
            settings,
            cache_dir=self._cache_dir,
            cache_scores=cache_scores,
            progress=self._progress,
            exact=exact,
        )


def open_source(settings: Settings, *, cache_dir: Path, progress: Progress | None = None) -> ScoreSource:
    """Return where the settings want scores to come from.

    Raises:
        BundleError: there is no such bundle, or it is not the locked one.
        ScorerError: a service is named, and cannot be reached.
        CannotScoreError: a folder of scores is damaged.
        UsageError: settings that contradict each other.
    """
    if settings.scores:
        from sqsd_lint.run.stored_scorer import StoredSource

        return StoredSource(settings, cache_dir=cache_dir, progress=progress)
    if settings.scorer:
        from sqsd_lint.run.remote_scorer import ScoringService

        return ScoringService(settings, cache_dir=cache_dir, progress=progress)
    return LocalModel(settings, cache_dir=cache_dir, progress=progress)


def as_model(scorer: SampleScorer) -> ModelScorer:
    """Return a scorer that is a model of this process, for what looks inside it.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(scorer, ModelScorer):
        raise UsageError(
            "this looks inside the model, and the scores of this run come from elsewhere",
            hint="score here: --no-scorer, with --bundle if it is not the default one",
        )
    return scorer
