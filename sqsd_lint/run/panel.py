"""The bundles of a run, one after the other on the same rows, with one model in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from sqsd_lint.bundle.load import Bundle
from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.errors import BundleError, UsageError
from sqsd_lint.rules import BundleScores, Pack, Policy
from sqsd_lint.rules.consensus import quorum
from sqsd_lint.run.bundle_run import Session
from sqsd_lint.types import ConsensusRule, Head, Problem, Sample, ScoredRow


@dataclass(frozen=True, slots=True)
class Said:
    """One bundle's scores, and with what head it would have reported them; `cached` counts rows."""

    scores: BundleScores
    head: Head
    cached: int


def settings_of_each(settings: Settings) -> list[Settings]:
    """The settings of a run, once for every bundle that it has."""
    return [replace(settings, bundle=bundle) for bundle in settings.opinions] or [settings]


def open_sessions(settings: Sequence[Settings], progress: Progress | None = None) -> dict[str, Session]:
    """A session for each bundle, by its id; by id and digest where two have the same id.

    Raises:
        UsageError: two bundles that give the same scores, as one does that was calibrated anew.
        BundleError: as `Session`.
    """
    sessions = [Session(each, progress) for each in settings]
    bundles = [session.bundle for session in sessions]
    first: dict[str, Bundle] = {}
    for bundle in bundles:
        same = first.setdefault(bundle.scoring_digest, bundle)
        if same is not bundle:
            wrong = "the same bundle is named twice: it agrees with itself"
            if same.digest != bundle.digest:
                pair = f"{same.id}@{same.digest[:12]} and {bundle.id}@{bundle.digest[:12]}"
                wrong = f"{pair} give the same scores: they are one opinion, not two"
            raise UsageError(wrong, hint="name different bundles")
    ids = [bundle.id for bundle in bundles]
    names = [b.id if ids.count(b.id) == 1 else f"{b.id}@{b.digest[:12]}" for b in bundles]
    return dict(zip(names, sessions, strict=True))


def hear_each(
    sessions: Mapping[str, Session],
    rows: Iterable[Sample | Problem],
    lost: Sequence[Problem],
    pack: Pack,
) -> list[Said]:
    """Every bundle's scores, those near its own thresholds exact, and its own policy.

    Args:
        rows: can be gone through once for each session.
        lost: what could not even be read.

    Raises:
        BundleError: a bundle lacks the calibration that a threshold is relative to.
        UsageError: the rows are not the same the second time.
    """
    policies = {name: _policy(name, sessions, pack) for name in sessions}
    said: list[Said] = []
    for name, session in sessions.items():
        items = list(session.score_samples(rows, policies[name].distinct_thresholds))
        if said:
            _check_same(said[0].scores.items[len(lost) :], items)
        settled = iter(session.settle([item for item in items if isinstance(item, ScoredRow)]))
        items = [next(settled) if isinstance(item, ScoredRow) else item for item in items]
        scores = BundleScores(name, policies[name], [*lost, *items])
        said.append(Said(scores, session.head(policies[name]), session.cached))
        session.engine.release()
    return said


def join_heads(said: Sequence[Said], rule: ConsensusRule) -> Head:
    """One bundle's own head; that of several has the heads of all, and their texts beside one another.

    A note that only some bundles have is preceded by their name.
    """
    heads = [each.head for each in said]
    if len(heads) == 1:
        return heads[0]
    shared = [note for note in heads[0].notes if all(note in head.notes for head in heads)]
    own = [f"{each.scores.name}: {note}" for each in said for note in each.head.notes if note not in shared]
    needed = quorum(rule, len(heads))
    judges = f"{len(heads)} bundles judge every row; {needed} must find it risky (consensus: {rule})"
    return Head(
        base_model=_texts(head.base_model for head in heads),
        bundle_id=_texts(head.bundle_id for head in heads),
        bundle_digest=_texts(head.bundle_digest for head in heads),
        metric=_texts(head.metric for head in heads),
        expansion=_texts(head.expansion for head in heads),
        dtype=_texts(head.dtype for head in heads),
        device=_texts(head.device for head in heads),
        error_threshold=None,
        warning_threshold=None,
        notes=(judges, *shared, *own),
        proxy_for=heads[0].proxy_for,
        uncovered=max(head.uncovered for head in heads),
        bundles=tuple(heads),
        consensus=rule,
    )


def _policy(name: str, sessions: Mapping[str, Session], pack: Pack) -> Policy:
    try:
        return sessions[name].policy(pack)
    except BundleError as error:
        if len(sessions) == 1:
            raise
        raise type(error)(f"{name}: {error.message}", hint=error.hint) from None


def _check_same(first: Sequence[ScoredRow | Problem], again: Sequence[ScoredRow | Problem]) -> None:
    """Refuses rows that changed between two readings: opinions would be mixed up."""
    for one, other in zip_longest(first, again):
        if one is None or other is None or (one.where, one.fingerprint) != (other.where, other.fingerprint):
            file = (one or other).where.file
            raise UsageError(f"{file} changed while it was read", hint="run the command again")


def _texts(values: Iterable[str]) -> str:
    return " + ".join(dict.fromkeys(values))
