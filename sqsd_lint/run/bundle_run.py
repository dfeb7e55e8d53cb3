"""One run: a bundle, its calibration and an engine, and the way of rows through them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from sqsd_lint.bundle.agreement import with_target
from sqsd_lint.bundle.cache import cache_root
from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.resolve import open_for
from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.errors import UsageError
from sqsd_lint.rules import Calibration, Pack, Policy, Training, make_policy, near_line
from sqsd_lint.run.model_scorer import Engine
from sqsd_lint.run.rows import CLEAN_REFERENCE
from sqsd_lint.samples import excerpt
from sqsd_lint.types import Head, Line, Problem, Sample, Score, ScoredRow

# Rows that are held in memory, sorted by length and scored together. Its size is part of what makes
# batches the same on every run.
SHARD_ROWS = 8192

# How many rows the tolerance between dtypes is measured on.
_TOLERANCE_ROWS = 100

# Float32 scores differ between devices and batch shapes by rounding alone, far below this.
_FLOAT32_TOLERANCE = 1e-3


class Session:
    """A bundle, its calibration and an engine, for the length of one run."""

    def __init__(self, settings: Settings, progress: Progress | None = None) -> None:
        self.settings = settings
        self.progress = progress
        self.cache_dir = cache_root(Path(settings.cache_dir) if settings.cache_dir else None)
        self.bundle: Bundle = open_for(
            settings, cache_dir=self.cache_dir, status=progress.status if progress else None
        )
        self.engine = self._engine(exact=False)
        self.calibration = self._calibration()
        self.cached = 0
        self._near: dict[str, Sample] = {}

    def _calibration(self) -> Calibration | None:
        """The bundle's calibration, unless --metric or --expansion asks for other scores."""
        manifest, engine = self.bundle.manifest, self.engine
        if manifest.calibration is None:
            return None
        if (engine.metric, engine.expansion) != (manifest.metric, manifest.expansion):
            return None
        return Calibration.from_json(manifest.calibration.to_json())

    def _engine(self, *, exact: bool) -> Engine:
        return Engine(
            self.bundle,
            self.settings,
            cache_dir=self.cache_dir,
            cache_scores=self.settings.cache,
            progress=self.progress,
            exact=exact,
        )

    def score_samples(
        self, items: Iterable[Sample | Problem], lines: Sequence[Line] = ()
    ) -> Iterator[ScoredRow | Problem]:
        """Scores in the order of the items, which are taken in shards of SHARD_ROWS; problems pass through.

        Args:
            lines: samples that score near one of them are kept for `settle`.
        """
        rest = iter(items)
        while shard := list(islice(rest, SHARD_ROWS)):
            yield from self._score_shard(shard, lines)
        if self.progress:
            self.progress.stop()

    def _score_shard(
        self, shard: Sequence[Sample | Problem], lines: Sequence[Line]
    ) -> Iterator[ScoredRow | Problem]:
        tolerance = self._tolerance()
        samples = [s for s in shard if not isinstance(s, Problem)]
        answers = self._score_samples(self.engine, samples)
        for item in shard:
            if isinstance(item, Problem):
                yield item
                continue
            answer = answers[item.fingerprint]
            if isinstance(answer, Problem):
                yield replace(answer, where=item.where, excerpt=excerpt(item))
            else:
                if near_line(answer.sqsd, lines, tolerance):
                    self._near[item.fingerprint] = item
                yield self.scored_row(item, answer)

    def _score_samples(self, engine: Engine, samples: Iterable[Sample]) -> dict[str, Score | Problem]:
        """Scores by fingerprint: a row that occurs twice, or is cached, is not scored again."""
        unique = {s.fingerprint: s for s in samples}
        answers: dict[str, Score | Problem] = dict(engine.recall(unique))
        missing = [s for f, s in unique.items() if f not in answers]
        self.cached += len(unique) - len(missing)
        if missing:
            if self.progress:
                self.progress.start(len(missing))
            for sample, answer in engine.score(missing):
                answers[sample.fingerprint] = answer
                if self.progress:
                    self.progress.advance(1)
        return answers

    def scored_row(self, sample: Sample, score: Score) -> ScoredRow:
        c = self.calibration
        return ScoredRow(
            sample.where,
            sample.fingerprint,
            excerpt(sample),
            score,
            c.percentile(score.sqsd) if c else None,
            c.z(score.sqsd) if c else None,
            sample.suppression,
        )

    def reference_scores(self, samples: Sequence[Sample]) -> list[Score]:
        """Scores of a reference set, in its order.

        Raises:
            UsageError: a row cannot be scored.
        """
        answers = self._score_samples(self.engine, samples)
        scores = []
        for sample in samples:
            answer = answers[sample.fingerprint]
            if isinstance(answer, Problem):
                raise UsageError(f"{sample.where}: {answer.message}", hint=CLEAN_REFERENCE)
            scores.append(answer)
        return scores

    def dtype_pairs(
        self, scores: Sequence[Score], samples: Mapping[str, Sample]
    ) -> list[tuple[float, float]]:
        """(fast, exact) SQSD of rows spread evenly over the range of scores."""
        ranked = sorted({s.fingerprint: s.sqsd for s in scores}.items(), key=lambda item: item[1])
        step = max(1, len(ranked) // _TOLERANCE_ROWS)
        picked = ranked[::-step]  # from the top, where the lines are
        self.engine.release()
        exact = self._score_samples(self._engine(exact=True), [samples[f] for f, _ in picked])
        return [(fast, a.sqsd) for f, fast in picked if isinstance(a := exact[f], Score)]

    def policy(self, pack: Pack) -> Policy:
        """A rule pack with the settings' overrides, its lines resolved by the calibration."""
        s = self.settings
        return make_policy(
            pack,
            self.calibration,
            threshold=s.threshold,
            warning_threshold=s.warning_threshold,
            select=s.select,
            ignore=s.ignore,
            allow=s.allow,
            severity=s.severity,
            per_file_ignores=s.per_file_ignores,
            training=Training(s.learning_rate, s.epochs, s.batch_size),
            danger=self.bundle.manifest.directions["danger"].kind,
        )

    def settle(self, rows: Sequence[ScoredRow]) -> list[ScoredRow]:
        """Score the rows near a line again in exact mode, so that no device or dtype decides a verdict."""
        if not self._near:
            return list(rows)
        self.engine.release()
        exact = self._engine(exact=True)
        if self.progress:
            self.progress.status(f"scoring {len(self._near)} rows near a line again, exactly")
        cached = self.cached
        answers = self._score_samples(exact, self._near.values())
        self.cached = cached
        if self.progress:
            self.progress.stop()
        return [self._settled(row, answers.get(row.fingerprint)) for row in rows]

    def _settled(self, row: ScoredRow, answer: Score | Problem | None) -> ScoredRow:
        if not isinstance(answer, Score):
            return row
        c = self.calibration
        return replace(
            row,
            score=answer,
            percentile=c.percentile(answer.sqsd) if c else None,
            z=c.z(answer.sqsd) if c else None,
        )

    def _tolerance(self) -> float:
        """How far a fast score may lie from the exact one, in score units."""
        if self.engine.dtype == "float32":
            return _FLOAT32_TOLERANCE
        return self.calibration.tolerance if self.calibration else 0.0

    def head(self, policy: Policy, more: Sequence[str] = ()) -> Head:
        """What the report prints first.

        Args:
            more: notes that come after those of bundle, policy and engine.
        """
        m = self.bundle.manifest
        notes = [*m.notes, *policy.notes, *self.engine.notes]
        measured = m.calibration.settings if self.calibration and m.calibration else {}
        for key in ("max_length", "turns"):
            now = getattr(self.settings, key)
            if measured.get(key, now) != now:
                notes.append(f"the calibration was made with {key} {measured[key]}, this run has {now}")
        target = self.settings.model if self.settings.proxy and self.settings.model else ""
        agreement = with_target(m.agreements, target) if target else None
        if target:
            notes.append(
                f"proxy: a bundle of {m.base_model.id} judges data for {target}; "
                f"{agreement or 'agreement unknown'}"
            )
        uncovered = self.engine.uncovered
        if uncovered:
            notes.append(
                f"{uncovered:.1%} of the model's parameters are no linear layers (experts, routers): "
                "no score covers them"
            )
        return Head(
            base_model=m.base_model.id,
            bundle_id=m.id,
            bundle_digest=self.bundle.digest,
            metric=self.engine.metric,
            expansion=self.engine.expansion,
            dtype=self.engine.dtype,
            device=self.engine.device,
            error_line=policy.error_line,
            warning_line=policy.warning_line,
            notes=(*notes, *more),
            validation=m.validation.placed(self.calibration.percentile)
            if m.validation and self.calibration
            else None,
            proxy_for=target,
            agreement=agreement,
            uncovered=uncovered,
        )
