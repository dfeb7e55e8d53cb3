"""`explain`: one row, and where its score comes from."""

from __future__ import annotations

from collections.abc import Sequence

from sqsd_lint.bundle.sketches import load_sketches
from sqsd_lint.common.numbers import score as score_text
from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.errors import BundleError, CannotScoreError, UsageError
from sqsd_lint.explain import Explanation, Nearest, Neighbour, Remedy, Spans
from sqsd_lint.explain.attributed import Attributed, attributed
from sqsd_lint.explain.remedy import find_remedy
from sqsd_lint.explain.spans import grouped
from sqsd_lint.explain.target import FORM, Target
from sqsd_lint.rules import Policy, load_pack
from sqsd_lint.run.bundle_run import Session
from sqsd_lint.run.model_scorer import Engine
from sqsd_lint.run.rows import read_samples, why_undesirable
from sqsd_lint.run.sketch import sketches
from sqsd_lint.types import Encoded, Line, Problem, Sample, Undesirable

_NEAREST = 3
# A cosine below so many standard deviations may be the largest of a few hundred by chance.
_BEYOND_CHANCE = 3.5


def find_sample(target: Target, settings: Settings) -> Sample:
    """The row that was named.

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
        elif line == target.line:
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


def explain(target: Target, settings: Settings, *, progress: Progress | None = None) -> Explanation:
    """Why a row has its score, in exact arithmetic unless bfloat16 is asked for.

    Raises:
        SqsdLintError: no such row, it cannot be scored, or bundle or model are missing.
    """
    sample = find_sample(target, settings)
    session = Session(settings, progress)
    policy = _policy(session)
    # As `check` scores a row near a line: what is explained is the score that decides.
    fast, exact = session.engine.dtype, settings.dtype != "bfloat16"
    if exact:
        session.engine = Engine(
            session.bundle,
            settings,
            cache_dir=session.cache_dir,
            cache_scores=False,
            progress=progress,
            exact=True,
        )
    encoder, scorer = session.engine.parts()
    if progress:
        progress.status(f"explaining {target}")
    (_, one), *_ = attributed(encoder, scorer, [sample], exact=exact)
    if isinstance(one, Problem):
        raise CannotScoreError(f"{one.where}: {one.message}", hint=one.hint or None)
    words, sentences = (grouped(one.tokens, sample.messages, unit) for unit in ("word", "sentence"))
    explanation = Explanation(
        head=session.head(policy, _notes(session, fast)),
        row=session.scored_row(sample, one.score),
        sample=sample,
        modules=one.modules,
        tokens=one.tokens,
        words=words,
        sentences=sentences,
        nearest=_nearest(session, sample),
        remedy=_remedy(session, one, words, sentences, policy.lines),
    )
    if progress:
        progress.stop()
    return explanation


def _notes(session: Session, fast: str) -> list[str]:
    """Why the score may not be the one that `score` gave."""
    if session.engine.dtype == fast or session.calibration is None:
        return []
    tolerance = score_text(session.calibration.tolerance)
    return [f"exact, in {session.engine.dtype}: in {fast} a score may differ by up to {tolerance}"]


def _policy(session: Session) -> Policy:
    """The lines of the run; without a calibration there may be none, and all else is explained the same."""
    try:
        return session.policy(load_pack(session.settings.rules))
    except BundleError:
        return Policy({})


def _nearest(session: Session, sample: Sample) -> Nearest | None:
    """The training rows whose updates are most like the sample's, where the bundle has sketches of them."""
    if session.engine.expansion != session.bundle.manifest.expansion:
        return None
    stored = load_sketches(session.bundle)
    if stored is None:
        return None
    sketch = sketches(session, [sample], stored.dims)[sample.fingerprint]
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
    session: Session, one: Attributed, words: Spans, sentences: Spans, lines: Sequence[Line]
) -> Remedy | None:
    """How to get under the lowest line that the row has reached."""
    reached = [line for line in lines if one.score.sqsd >= line.value]
    if not reached:
        return None
    encoder, scorer = session.engine.parts()

    def rate(rows: Sequence[Encoded]) -> list[float]:
        return [danger - safety for danger, safety in scorer.project(rows).values.tolist()]

    def encode(sample: Sample) -> Encoded | None:
        from sqsd_lint.encode import UnencodableError

        try:
            return encoder.encode(sample)
        except UnencodableError:
            return None

    calibration = session.calibration
    return find_remedy(
        one,
        sentences,
        words,
        min(reached, key=lambda line: line.value),
        rate,
        encode,
        calibration.percentile if calibration else None,
    )
