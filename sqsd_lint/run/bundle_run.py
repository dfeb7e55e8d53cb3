"""One bundle in a run: the bundle, its calibration, and the model that scores with it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqsd_lint.bundle.cache import cache_root
from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.errors import UsageError
from sqsd_lint.rules import FineTuneSettings, Pack, Policy, SecondLook, is_near, make_policy
from sqsd_lint.run.cached_scorer import calibration_of
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.run.parts import PartJudge
from sqsd_lint.run.rows import CLEAN_REFERENCE
from sqsd_lint.run.scorers import SampleScorer, as_model, open_source
from sqsd_lint.run.screen import RowScreen, open_screen
from sqsd_lint.run.shards import SHARD_ROWS, score_rows
from sqsd_lint.run.speed import Stopwatch
from sqsd_lint.samples import excerpt, trained_form
from sqsd_lint.samples.invisible import invisible_characters
from sqsd_lint.types import Problem, Sample, Score, ScoredRow, Threshold, Where

# How many rows the tolerance between dtypes is measured on.
_TOLERANCE_ROWS = 100

# Rows near a threshold whose exact scores are looked up together.
_LOOK_UP = 256

# Rows near a threshold that are held until they are scored exactly, all at once: a file may have any number.
_HELD = SHARD_ROWS

# Float32 scores differ between devices and batch shapes by rounding alone: most by less than 1e-6; those of
# answers of two or three tokens, by the default bundle, by up to 2e-4 in risk and 9e-4 in SQSD (24 rows).
_FLOAT32_TOLERANCE = 1e-3


@dataclass(slots=True)
class _NearRows:
    """The rows with one fingerprint that are still to be scored again, counted by their places."""

    sample: Sample
    left: Counter[Where] = field(default_factory=Counter)


class BundleRun:
    """A bundle, its calibration and a scorer, for the length of one run.

    Attributes:
        cached: how many rows the cache has answered for.
        parts: which rows are scored part by part.
        parts_missing: why none are where the settings ask for it.
    """

    def __init__(self, settings: Settings, progress: Progress | None = None) -> None:
        self.settings = settings
        self.progress = progress
        self.cache_dir = cache_root(Path(settings.cache_dir) if settings.cache_dir else None)
        self._source = open_source(settings, cache_dir=self.cache_dir, progress=progress)
        self.bundle = self._source.bundle
        self.scorer = self.new_scorer(exact=False)
        self.calibration = calibration_of(self.bundle, self.scorer.metric, self.scorer.expansion)
        self.cached = 0
        self.parts_missing = ""
        self.parts = self._part_judge()
        self._thresholds: tuple[Threshold, ...] = ()
        self._second_look: SecondLook | None = None
        self._near: dict[str, _NearRows] = {}  # by fingerprint
        self._again: list[SampleScorer] = []  # of rows near a threshold, the exact one last
        self._exact = self._in_float32 = self._indifferent = 0  # rows near a threshold, by what judges them
        self._in_parts = self._by_part = 0  # rows, of which the last are judged by one
        self._in_windows = self._with_earlier = 0  # rows
        self._screen: RowScreen | None = None
        self._screen_note = ""

    def new_scorer(self, *, exact: bool, cache_scores: bool | None = None) -> SampleScorer:
        """Return a scorer of the bundle; its model is not loaded yet.

        Args:
            cache_scores: None as the settings say.
        """
        keep = self.settings.cache if cache_scores is None else cache_scores
        return self._source.scorer(exact=exact, cache_scores=keep)

    def _part_judge(self) -> PartJudge:
        judge = PartJudge.of(self.settings, self.calibration)
        if judge.bound < math.inf and self.scorer.why_no_parts:
            self.parts_missing = self.scorer.why_no_parts
            return replace(judge, bound=math.inf)
        return judge

    @property
    def model_scorer(self) -> ModelScorer:
        """Return the scorer, for what looks inside a model.

        Raises:
            UsageError: the scores come from elsewhere.
        """
        return as_model(self.scorer)

    def policy(self, pack: Pack) -> Policy:
        """Return a rule pack with the settings' overrides, its thresholds resolved by the calibration."""
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
            fine_tune=FineTuneSettings(s.learning_rate, s.epochs, s.batch_size),
            danger=self.bundle.manifest.directions["danger"].kind,
        )

    def use_screen(self, thresholds: Sequence[Threshold], *, bundles: int = 1) -> None:
        """Pass by rows far below these thresholds from here on, if the settings ask for it (`run.screen`).

        Args:
            bundles: how many judge.
        """
        self._screen, self._screen_note = open_screen(
            self.settings, self.scorer, thresholds, bundles=bundles, parts=self.parts.bound < math.inf
        )

    def score(
        self,
        rows: Iterable[Sample | Problem],
        thresholds: Sequence[Threshold] = (),
        second_look: SecondLook | None = None,
    ) -> Iterator[ScoredRow | Problem]:
        """Yield the rows with their scores, in their order; problems pass through. Lets go of the model then.

        Args:
            thresholds: samples that score near one of them are kept until `settle` has taken their rows.
            second_look: tells which of these an exact score can change the verdict of; the others are not
                scored again. None takes all.
        """
        self._thresholds, self._second_look = tuple(thresholds), second_look
        for item in score_rows(rows, self.scores):
            if isinstance(item, Problem):
                yield item
                continue
            sample, score = item
            row = self.scored_row(sample, score)
            if self._is_in_doubt(row, self.scorer):
                self._near.setdefault(row.fingerprint, _NearRows(sample)).left[row.where] += 1
            elif self._is_near(row, self.scorer):
                self._indifferent += 1
            yield row
        if self.progress:
            self.progress.stop()
        self.scorer.release()

    def _is_near(self, row: ScoredRow, scorer: SampleScorer) -> bool:
        lines, tolerance = self._thresholds, self._tolerance(scorer)
        # As a whole a row is counted by SQSD202, and told from one of which a part alone reaches a line.
        near = any(is_near(score, lines, tolerance) for score in (row.score, row.score.of_row))
        return near or self.parts.is_near(row.score, lines, tolerance)

    def _is_in_doubt(self, row: ScoredRow, scorer: SampleScorer) -> bool:
        """Tell whether an exact score can change the verdict on a row, as the scorer has scored it."""
        if not self._is_near(row, scorer):
            return False
        return self._second_look is None or self._second_look.decides(row, self._tolerance(scorer))

    def settle(self, rows: Iterable[ScoredRow | Problem]) -> Iterator[ScoredRow | Problem]:
        """Yield rows, those near a threshold scored again in exact mode, so that no device decides a verdict.

        Where the run does not compute in float32, they are first scored in that, in batches, and only those
        that are still near a threshold in exact mode.

        Rows near a threshold come later than the others, unless their scores are known. Of however many
        there are, some thousands are held until they are scored together; no other row is held.

        Args:
            rows: what `score` yields.
        """
        fresh: list[ScoredRow] = []  # scores still to be looked up
        held: list[ScoredRow] = []  # not known
        for row in rows:
            near = None if isinstance(row, Problem) else self._near.get(row.fingerprint)
            if isinstance(row, Problem) or near is None or row.where not in near.left:
                yield row
                continue
            fresh.append(row)
            if len(fresh) < _LOOK_UP:
                continue
            known, unknown = self._score_again(fresh, recall=True)
            yield from known
            held += unknown
            fresh = []
            if len(held) >= _HELD:
                yield from self._score_again(held)[0]
                held = []
        if held or fresh:
            yield from self._score_again(held + fresh)[0]

    def _score_again(
        self, rows: list[ScoredRow], *, recall: bool = False
    ) -> tuple[list[ScoredRow], list[ScoredRow]]:
        """Return rows as they are judged, and those of which a score that it takes is not known.

        Args:
            recall: compute nothing.
        """
        if not self._again:
            cache_scores = self.settings.cache
            float32 = None
            if self.scorer.dtype != "float32":
                float32 = self._source.float32_scorer(cache_scores=cache_scores)
            self._again = [*([float32] if float32 else []), self.new_scorer(exact=True)]
        judged: list[ScoredRow] = []
        unknown: list[ScoredRow] = []
        for scorer in self._again:
            samples = {row.fingerprint: self._near[row.fingerprint].sample for row in rows}
            if not samples:
                break
            scores = self._recall(scorer, samples) if recall else self._score_alone(scorer, samples)
            near = []
            for row in rows:
                score = scores.get(row.fingerprint)
                settled = self._settled(row, score)
                if score is None:
                    unknown.append(row)
                elif scorer.exact or isinstance(score, Problem) or not self._is_in_doubt(settled, scorer):
                    judged.append(settled)
                else:
                    near.append(row)
            rows = near
        for row in judged:
            self._exact += row.score.exact
            self._in_float32 += not self._again[0].exact and not row.score.exact
            self._let_go(row)
        return judged, unknown

    def _score_alone(self, scorer: SampleScorer, samples: Mapping[str, Sample]) -> dict[str, Score | Problem]:
        """Return scores of samples by fingerprint; no model is in memory but for that."""
        if self.progress:
            how = "exactly" if scorer.exact else "in float32"
            self.progress.status(f"scoring {len(samples):,} rows near a line again, {how}")
        self.scorer.release()  # it is loaded anew for the rest of the rows, if there are any
        scores, _ = self._judged_with(scorer, list(samples.values()))
        scorer.release()
        if self.progress:
            self.progress.stop()
        return scores

    def _let_go(self, row: ScoredRow) -> None:
        near = self._near[row.fingerprint]
        near.left -= Counter((row.where,))
        if not near.left:  # the sample is not needed any more
            del self._near[row.fingerprint]

    def _settled(self, row: ScoredRow, score: Score | Problem | None) -> ScoredRow:
        if not isinstance(score, Score):
            return row
        score = self.with_risk(score)
        return replace(row, score=score, percentile=self._percentile(score), z=self._z(score))

    def scores(self, samples: Sequence[Sample]) -> dict[str, Score | Problem]:
        """Return the scores of samples by fingerprint, from the cache or by the model."""
        scores, cached = self._judged_with(self.scorer, samples)
        self.cached += len(cached)
        return scores

    def recall(self, samples: Mapping[str, Sample]) -> dict[str, Score]:
        """Return the scores of samples for which nothing has to be computed, by fingerprint."""
        return self._recall(self.scorer, samples)

    def _recall(self, scorer: SampleScorer, samples: Mapping[str, Sample]) -> dict[str, Score]:
        scores = scorer.recall(samples)
        judge, slack = self.parts, self._slack(scorer)
        cut = {
            key: samples[key]
            for key, whole in scores.items()
            if judge.has_to_be_cut(samples[key], whole, slack)
        }
        parts = scorer.recall_parts(cut) if cut else {}
        for key in cut:
            whole = scores.pop(key)
            if key in parts:
                scores[key] = judge.judged(whole, parts[key])
        return scores

    def _judged_with(
        self, scorer: SampleScorer, samples: Sequence[Sample]
    ) -> tuple[dict[str, Score | Problem], set[str]]:
        """Return the scores that samples are judged by, and those of which the cache had all."""
        scores, cached = self._score_with(scorer, samples)
        cut: dict[str, Sample] = {}
        slack = self._slack(scorer)
        for sample in samples:
            whole = scores[sample.fingerprint]
            if isinstance(whole, Score) and self.parts.has_to_be_cut(sample, whole, slack):
                cut[sample.fingerprint] = sample
        self._in_parts += len(cut) if scorer is self.scorer else 0
        if not cut:
            return scores, cached
        parts: dict[str, Score | Problem] = dict(scorer.recall_parts(cut))
        missing = [sample for key, sample in cut.items() if key not in parts]
        cached -= {sample.fingerprint for sample in missing}
        if missing:
            if self.progress:
                self.progress.start(len(missing))
            for sample, answer in scorer.score_parts(missing):
                parts[sample.fingerprint] = answer
                if self.progress:
                    self.progress.advance(1)
        for key, part in parts.items():
            whole = scores[key]
            if isinstance(whole, Score):
                scores[key] = self.parts.judged(whole, part) if isinstance(part, Score) else part
        return scores, cached

    def _slack(self, scorer: SampleScorer) -> float:
        return 0.0 if scorer.exact else self._tolerance(scorer)

    def _score_with(
        self, scorer: SampleScorer, samples: Sequence[Sample]
    ) -> tuple[dict[str, Score | Problem], set[str]]:
        """Return scores of rows as a whole by fingerprint, and those that the cache had."""
        unique = {sample.fingerprint: sample for sample in samples}
        found: dict[str, Score | Problem] = dict(scorer.recall(unique))
        missing = [sample for fingerprint, sample in unique.items() if fingerprint not in found]
        cached = set(found)
        if missing and self._screen and scorer is self.scorer:
            found.update(self._screen.pass_by(missing))
            missing = [sample for sample in missing if sample.fingerprint not in found]
        if missing:
            if self.progress:
                self.progress.start(len(missing))
            cache = self.cache_dir if self.settings.cache else None
            watch = Stopwatch(cache, self.speed_key(scorer), self.settings.max_length)
            answers = watch.watch(scorer.score(missing), lambda: getattr(scorer, "ready_at", 0.0))
            for sample, answer in answers:
                found[sample.fingerprint] = answer
                if self.progress:
                    self.progress.advance(1)
        return found, cached

    def speed_key(self, scorer: SampleScorer) -> str:
        """Return what the speed of a scorer depends on, apart from the rows."""
        digest = self.bundle.scoring_digest.rpartition(":")[2][:16]
        return f"{digest} {scorer.device} {scorer.dtype} {self.settings.max_length} {scorer.exact}"

    def scored_row(self, sample: Sample, score: Score) -> ScoredRow:
        """Return a sample's score with its place among the calibration's."""
        score = self.with_risk(score)
        self._in_windows += score.of_row.window is not None
        self._by_part += score.part is not None
        self._with_earlier += self.settings.turns == "last" and sum(sample.mask) > 1
        return ScoredRow(
            sample.where,
            sample.fingerprint,
            excerpt(sample),
            score,
            self._percentile(score) if score.bound is None else None,
            self._z(score) if score.bound is None else None,
            sample.suppression,
            invisible=invisible_characters(sample),
            form=trained_form(sample),
        )

    @property
    def harm_weight(self) -> float:
        """What the projection on `harm` counts beside SQSD where scores are compared."""
        return self.calibration.harm_weight if self.calibration else 0.0

    def with_risk(self, score: Score) -> Score:
        """Return the score with what thresholds are compared with, as the calibration makes it."""
        if self.calibration is None or score.bound is not None:  # the bound is the risk
            return score
        whole = self.with_risk(score.whole) if score.whole else None
        return replace(score, risk=self.calibration.risk(score), whole=whole)

    def _percentile(self, score: Score) -> float | None:
        return self.calibration.percentile(score.risk) if self.calibration else None

    def _z(self, score: Score) -> float | None:
        return self.calibration.z(score.risk) if self.calibration else None

    def reference_scores(self, samples: Sequence[Sample]) -> list[Score]:
        """Return the scores of a reference set, in its order.

        Raises:
            UsageError: a row cannot be scored.
        """
        answers = self.scores(samples)
        scores = []
        for sample in samples:
            answer = answers[sample.fingerprint]
            if isinstance(answer, Problem):
                raise UsageError(f"{sample.where}: {answer.message}", hint=CLEAN_REFERENCE)
            scores.append(answer)
        return scores

    def dtype_pairs(
        self, scores: Sequence[Score], samples: Mapping[str, Sample]
    ) -> list[tuple[Score, Score]]:
        """Return (fast, exact) scores of rows spread evenly over the range of SQSD."""
        ranked = sorted({s.fingerprint: s for s in scores}.items(), key=lambda item: item[1].sqsd)
        step = max(1, len(ranked) // _TOLERANCE_ROWS)
        picked = ranked[::-step]  # from the top, where the thresholds are
        self.scorer.release()
        exact, cached = self._score_with(self.new_scorer(exact=True), [samples[f] for f, _ in picked])
        self.cached += len(cached)
        return [(fast, a) for f, fast in picked if isinstance(a := exact[f], Score)]

    def _tolerance(self, scorer: SampleScorer) -> float:
        """Return how far a scorer's score may lie from the exact one, in score units."""
        if scorer.dtype == "float32":
            return _FLOAT32_TOLERANCE
        return self.calibration.tolerance if self.calibration else 0.0

    @property
    def row_notes(self) -> tuple[str, ...]:
        """How rows were scored that are not scored in one piece, with counts."""
        notes = [self._screen_note] if self._screen_note else []
        notes += self._near_notes()
        if count := self._in_windows:
            have = "row has an answer" if count == 1 else "rows have answers"
            notes.append(
                f"{count:,} {have} longer than max_length: judged by the worst of overlapping windows"
            )
        if count := self._in_parts:
            were, by = ("row was" if count == 1 else "rows were"), self._by_part
            worst = f"{by:,} {'row is' if by == 1 else 'rows are'} judged by the worst part"
            notes.append(f"{count:,} {were} scored part by part as well: {worst}")
        elif self.parts_missing:
            notes.append(f"rows are judged as a whole, not by parts: {self.parts_missing}")
        if count := self._with_earlier:
            have = "row has" if count == 1 else "rows have"
            notes.append(f"{count:,} {have} earlier answers, which `turns = last` leaves unscored")
        return tuple(notes)

    def _near_notes(self) -> Iterator[str]:
        if count := self._exact + self._in_float32:
            lie, their = ("row lies", "its") if count == 1 else ("rows lie", "their")
            scores = "score" if count == 1 else "scores"
            how = f"exact {scores}"
            if self._in_float32:
                exact = f", of which {self._exact:,} {'is' if self._exact == 1 else 'are'} exact"
                how = f"{scores} in float32{exact if self._exact else ''}"
            yield (
                f"{count:,} {lie} so near a line that another device may decide otherwise:"
                f" judged by {their} {how}"
            )
        if count := self._indifferent:
            lies = "row near a line was" if count == 1 else "rows near a line were"
            yield f"{count:,} {lies} not scored again exactly: the verdict is the same on either side of it"

    @property
    def cache_notes(self) -> tuple[str, ...]:
        """What the reader has to know about the state of the score cache."""
        scorers = (self.scorer, *self._again)
        return tuple(dict.fromkeys(note for scorer in scorers for note in scorer.cache_notes))
