"""`--scores`: scores that were computed before, elsewhere, in place of a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqsd_lint.bundle.load import BundleInfo
from sqsd_lint.bundle.manifest import from_json
from sqsd_lint.bundle.resolve import check_served
from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.distributed.folder import ScoreBasis, ScoresFolder, ScoresManifest, finished_shards
from sqsd_lint.distributed.stored import StoredScores
from sqsd_lint.errors import CannotScoreError, UsageError
from sqsd_lint.run.cached_scorer import CachedScorer
from sqsd_lint.scoring.cache import SCORER_VERSION
from sqsd_lint.types import Problem, Sample, Score

_HINT = "Run `sqsd-lint score --output-dir` on the data: it computes what is missing."


class StoredScorer(CachedScorer):
    """A scorer of samples that knows the scores of a folder, and no others.

    Args:
        exact: for rows near a threshold. Their exact scores are not known: they keep the ones that are.
    """

    base_place: Path | None = None
    ready_at: float | None = None  # its speed tells nothing of a model's
    why_no_parts = "stored scores are those of whole rows"

    def __init__(self, source: StoredSource, settings: Settings, *, exact: bool) -> None:
        super().__init__(
            source.bundle,
            settings,
            device=source.manifest.scorer.device,
            dtype=source.dtype,
            exact=exact,
            cache_path=None,
        )
        self._source = source

    @property
    def notes(self) -> tuple[str, ...]:
        """Where scores are from, how rows were rendered, and what was not scored again."""
        source = self._source
        near = len(source.near)
        unsettled = (
            f"{near:,} row{' lies' if near == 1 else 's lie'} so near a line that another device may decide"
            " otherwise: with stored scores no row is scored again exactly",
        )
        rendered = dict.fromkeys(note for done in source.stored.used.values() for note in done.about.notes)
        return (
            f"scores are those of {source.folder.path}: no model was loaded",
            *(unsettled if near else ()),
            *rendered,
            *self.dropped_notes(),
        )

    @property
    def uncovered(self) -> float:
        """The share of the base model that no score covers."""
        return max((done.about.uncovered for done in self._source.stored.used.values()), default=0.0)

    def recall(self, samples: Mapping[str, Sample]) -> dict[str, Score]:
        """Return nothing for the run's own scorer, which has `score`; of an exact one what is stored."""
        if not self.exact:
            return {}
        self._source.near.update(samples)
        return {
            sample.fingerprint: score
            for sample, score in self._find(list(samples.values()))
            if isinstance(score, Score)
        }

    def score(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Score | Problem]]:
        """Yield samples with their stored scores; one that has none comes back as a Problem."""
        return self._find(samples)

    def _find(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Score | Problem]]:
        found = self._source.stored.find((sample.fingerprint, sample.where) for sample in samples)
        folder = self._source.folder.path
        for sample in samples:
            row = found.get(sample.fingerprint)
            if row is None:
                message = f"no score of it is in {folder}"
                yield sample, Problem("SQSD301", sample.where, message, _HINT, fingerprint=sample.fingerprint)
            elif row.score is None:
                yield sample, Problem(row.why[0], sample.where, *row.why[1:], fingerprint=sample.fingerprint)
            else:
                self.note_dropped(sample, row.dropped)
                yield sample, row.score

    def score_parts(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Score | Problem]]:
        """Refuse: there are none.

        Raises:
            CannotScoreError: always.
        """
        raise CannotScoreError(f"{self._source.folder.path}: {self.why_no_parts}", hint=_HINT)

    def release(self) -> None:
        """Keep all: there is no model."""


def basis_of(scorer: CachedScorer) -> dict[str, Any]:
    """Return all that the scores of a scorer depend on besides rows, in plain JSON."""
    windows = {"windows": scorer.worst_by} if scorer.asked["long_answers"] == "windows" else {}
    basis: dict[str, Any] = json.loads(
        json.dumps({"scorer_version": SCORER_VERSION, **scorer.asked, **windows})
    )
    return basis


class StoredSource:
    """The scores of a folder, and the bundle that they are by.

    Attributes:
        near: fingerprints of rows that would have been scored again in exact mode.

    Raises:
        UsageError: no such folder; the settings ask for other scores than it holds.
        BundleError: its scores are by another bundle than the named or the locked one.
        CannotScoreError: it is damaged.
    """

    def __init__(self, settings: Settings, *, cache_dir: Path, progress: Progress | None = None) -> None:
        if settings.opinions:
            raise UsageError("--scores: several bundles are named", hint="Scores are those of one bundle.")
        assert settings.scores is not None
        self.folder = ScoresFolder(Path(settings.scores))
        manifest = self.folder.read()
        if manifest is None:
            raise UsageError(
                f"--scores: {settings.scores} holds no scores",
                hint="Fill it with `sqsd-lint score DATA --output-dir DIR`.",
            )
        self.manifest: ScoresManifest = manifest
        self.bundle = BundleInfo.of(from_json(manifest.scorer.bundle))
        self.dtype = str(manifest.basis.scorer.get("dtype"))
        check_served(self.bundle, settings, f"the folder {settings.scores}", cache_dir=cache_dir)
        self._check_settings(settings)
        self.near: set[str] = set()
        self.stored = StoredScores(
            finished_shards(self.folder, manifest), progress.status if progress else None
        )
        self._settings = settings

    def scorer(self, *, exact: bool, cache_scores: bool) -> StoredScorer:
        """Return a scorer; nothing is read for it yet."""
        return StoredScorer(self, self._settings, exact=exact)

    def float32_scorer(self, *, cache_scores: bool) -> None:
        """Return none: no score is computed."""

    def _check_settings(self, settings: Settings) -> None:
        """Refuse scores under other settings than these.

        Raises:
            UsageError: they are. A dtype that is not named is what the scores have.
            CannotScoreError: the folder says nothing of a setting, or names another bundle than it holds.
        """
        known = self.manifest.basis.scorer
        dtype = self.dtype if settings.dtype == "auto" else settings.dtype
        asked = basis_of(StoredScorer(self, settings, exact=False))
        asked["dtype"] = dtype
        if known.get("bundle") != self.bundle.scoring_digest:
            raise CannotScoreError(
                f"{self.folder.path}: its scores are by the bundle {str(known.get('bundle'))[:12]}, and the"
                f" one that it names is {self.bundle.scoring_digest[:12]}",
                hint="The manifest was changed by hand: score anew.",
            )
        # How rows are read decides which fingerprints they have, and so is no matter of scores.
        self.folder.check_basis(self.manifest, ScoreBasis(asked, self.manifest.basis.rows))
