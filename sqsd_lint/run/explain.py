"""`explain`: one row, and where its score comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sqsd_lint.bundle.sketches import load_sketches
from sqsd_lint.common.numbers import score as score_text
from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.errors import BundleError, CannotScoreError, UsageError
from sqsd_lint.explain import Explanation, Nearest, Neighbour, Remedy, Spans
from sqsd_lint.explain.attributed import Attributed, Locate, attributed
from sqsd_lint.explain.remedy import Piece, find_remedy
from sqsd_lint.explain.row_reference import FORM, RowReference
from sqsd_lint.explain.spans import grouped
from sqsd_lint.rules import Policy, load_pack
from sqsd_lint.rules.threshold import reaches
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.parts import with_parts
from sqsd_lint.run.report_head import make_head
from sqsd_lint.run.rows import read_samples, why_undesirable
from sqsd_lint.run.sketch import sketches
from sqsd_lint.types import AnswerPart, Encoded, Problem, Sample, Score, Threshold, Undesirable

if TYPE_CHECKING:
    from sqsd_lint.encode.alignment import Place

_NEAREST = 3
# A cosine below so many standard deviations may be the largest of a few hundred by chance.
_BEYOND_CHANCE = 3.5


def find_sample(target: RowReference, settings: Settings) -> Sample:
    """Return the row that was named.

    Raises:
        UsageError: there is no such row, or several rows have such a fingerprint.
        CannotScoreError: the row, or the file, cannot be read or has nothing to train on.
    """
    found: dict[str, Sample | Problem | Undesirable] = {}
    before = after = 0
    for item in read_samples(target.file, settings):
        if isinstance(item, Problem) and item.code == "SQSD304":
            raise CannotScoreError(f"{item.where}: {item.message}", hint=item.hint or None)
        line = item.where.line
        if target.fingerprint:
            if item.fingerprint.startswith(target.fingerprint):
                found.setdefault(item.fingerprint, item)
        elif line == target.line and target.element in (0, item.where.element):
            found[item.fingerprint] = item
            break
        elif line > target.line:
            after = line
            break
        else:
            before = line
    if len(found) > 1:
        raise UsageError(
            f"{target}: {len(found)} different rows have such a fingerprint", hint="give more digits of it"
        )
    if not found:
        near = " and ".join(f"line {line}" for line in (before, after) if line)
        begins = f"; rows near it begin on {near}" if near and target.line else ""
        raise UsageError(f"{target}: no such row{begins}", hint=FORM)
    item = found.popitem()[1]
    if isinstance(item, Problem):
        raise CannotScoreError(f"{item.where}: {item.message}", hint=item.hint or None)
    if isinstance(item, Undesirable):
        raise CannotScoreError(f"{item.where}: {why_undesirable(item)}")
    return item


def explain(target: RowReference, settings: Settings, *, progress: Progress | None = None) -> Explanation:
    """Why a row has its score, in exact arithmetic unless bfloat16 is asked for.

    Raises:
        SqsdLintError: no such row, it cannot be scored, or bundle or model are missing.
    """
    sample = find_sample(target, settings)
    bundle_run = BundleRun(with_parts(settings), progress)
    policy = _policy(bundle_run)
    # As `check` scores a row near a line: what is explained is the score that decides.
    fast, exact = bundle_run.scorer.dtype, settings.dtype != "bfloat16"
    if exact:
        bundle_run.scorer = bundle_run.new_scorer(exact=True, cache_scores=False)
    if progress:
        progress.status(f"explaining {target}")
    one = _attribute(bundle_run, sample, exact=exact)
    if bundle_run.parts.has_to_be_cut(sample, one.score):
        one = _worse(bundle_run, one, exact=exact)
    words, sentences = (grouped(one.tokens, sample.messages, unit) for unit in ("word", "sentence"))
    explanation = Explanation(
        head=make_head(
            bundle_run, policy, [*_notes(bundle_run, fast), *_window_note(bundle_run.with_risk(one.score))]
        ),
        row=bundle_run.scored_row(sample, one.score),
        sample=sample,
        modules=one.modules,
        tokens=one.tokens,
        words=words,
        sentences=sentences,
        nearest=_nearest(bundle_run, sample, one.encoded),
        remedy=_remedy(bundle_run, one, words, sentences, policy.distinct_thresholds),
    )
    if progress:
        progress.stop()
    return explanation


def _attribute(
    bundle_run: BundleRun, sample: Sample, *, exact: bool, locate: Locate | None = None
) -> Attributed:
    """Return a sample's score and where it comes from.

    Raises:
        CannotScoreError: it has none.
    """
    encoder, scorer = bundle_run.model_scorer.parts()
    (_, one), *_ = attributed(
        encoder,
        scorer,
        [sample],
        exact=exact,
        risk=bundle_run.model_scorer.risk,
        harm_weight=bundle_run.harm_weight,
        locate=locate,
    )
    if isinstance(one, Problem):
        raise CannotScoreError(f"{one.where}: {one.message}", hint=one.hint or None)
    return one


def _worse(bundle_run: BundleRun, whole: Attributed, *, exact: bool) -> Attributed:
    """Return what a row is judged by: its worst part, if that is above the row as a whole."""
    sample = whole.sample
    encoder, _ = bundle_run.model_scorer.parts()
    ((_, worst),) = bundle_run.model_scorer.score_parts([sample])
    if not isinstance(worst, Score) or worst.part is None:
        return whole
    judged = bundle_run.parts.judged(whole.score, worst)
    if judged.part is None:
        return whole
    number = judged.part.number - 1

    def locate(sample: Sample) -> list[tuple[Encoded, list[Place | None]]]:
        return [encoder.locate_answer_parts(sample)[number]]

    part = _attribute(bundle_run, sample, exact=exact, locate=locate)
    return replace(part, score=bundle_run.parts.judged(whole.score, part.score))


def _notes(bundle_run: BundleRun, fast: str) -> list[str]:
    """Why the score may not be the one that `score` gave."""
    if bundle_run.scorer.dtype == fast or bundle_run.calibration is None:
        return []
    tolerance = score_text(bundle_run.calibration.tolerance)
    return [f"exact, in {bundle_run.scorer.dtype}: in {fast} a score may differ by up to {tolerance}"]


def _window_note(score: Score) -> list[str]:
    """Which part of a long answer is explained."""
    if score.window is None:
        return []
    if score.whole:
        risk = score_text(score.whole.risk)
        return [f"judged by a part: what is explained is {score.window}; the risk of the whole row is {risk}"]
    return [f"the answer is longer than max_length: what is explained is {score.window}"]


def _policy(bundle_run: BundleRun) -> Policy:
    """Return the policy of the run; without a calibration it may have no thresholds, all else is the same."""
    try:
        return bundle_run.policy(load_pack(bundle_run.settings.rules))
    except BundleError:
        return Policy({})


def _nearest(bundle_run: BundleRun, sample: Sample, encoded: Encoded) -> Nearest | None:
    """Return the training rows whose updates are most like the sample's, where the bundle has sketches."""
    if bundle_run.scorer.expansion != bundle_run.bundle.manifest.expansion:
        return None
    stored = load_sketches(bundle_run.model_scorer.bundle)
    if stored is None:
        return None
    sketch = sketches(bundle_run, [sample], stored.dims, [encoded])[sample.fingerprint]
    near = {
        role: tuple(
            Neighbour(n.set, n.row, n.fingerprint, n.cosine)
            for n in stored.nearest(role, sketch, _NEAREST)
            if n.cosine > _BEYOND_CHANCE * stored.error
        )
        for role in ("danger", "safety")
    }
    return Nearest(near["danger"], near["safety"], stored.error)


def _remedy(
    bundle_run: BundleRun, one: Attributed, words: Spans, sentences: Spans, thresholds: Sequence[Threshold]
) -> Remedy | None:
    """How to get under the lowest threshold that the row has reached."""
    reached = [each for each in thresholds if reaches(bundle_run.with_risk(one.score), each)]
    if not reached:
        return None
    encoder, scorer = bundle_run.model_scorer.parts()
    calibration, part = bundle_run.calibration, one.score.part
    pieces: list[Piece] = []
    if part is not None:
        pieces += encoder.locate_parts(one.sample)
        pieces += [each for each in encoder.locate_answer_parts(one.sample) if each[0].window != part]

    def risk(score: float, tokens: int, parts: int = part.count if part else 0) -> float:
        return calibration.placed(score, tokens, parts) if calibration else score

    def rate(rows: Sequence[Encoded]) -> list[float]:
        weights = (1.0, -1.0, bundle_run.harm_weight)
        scores = (
            sum(w * p for w, p in zip(weights, projections, strict=False))
            for projections in scorer.project(rows).values.tolist()
        )
        return [
            risk(score, row.response_tokens, row.window.count if isinstance(row.window, AnswerPart) else 0)
            for score, row in zip(scores, rows, strict=True)
        ]

    def encode(sample: Sample) -> Sequence[Encoded]:
        from sqsd_lint.encode import UnencodableError

        try:
            whole = encoder.encode_parts(sample)
        except UnencodableError:
            return ()
        return [*whole, *encoder.answer_parts(sample)] if part else whole

    return find_remedy(
        one,
        sentences,
        words,
        min(reached, key=lambda threshold: threshold.value),
        rate,
        encode,
        calibration.percentile if calibration else None,
        risk,
        pieces,
    )
