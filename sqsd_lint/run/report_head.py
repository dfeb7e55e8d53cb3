"""What a report prints first: what scored the rows, and at which thresholds they were judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqsd_lint.bundle.agreement import with_target
from sqsd_lint.bundle.reach import raw_threshold_note
from sqsd_lint.rules import Policy
from sqsd_lint.rules.consensus import quorum
from sqsd_lint.rules.threshold import parse_threshold
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.types import ConsensusRule, Head


def make_head(run: BundleRun, policy: Policy, more: Sequence[str] = ()) -> Head:
    """Return the head of a report by one bundle.

    Args:
        more: notes that come after those of bundle, policy, scorer and cache.
    """
    m, settings, scorer = run.bundle.manifest, run.settings, run.scorer
    notes = [*m.notes, *policy.notes, *policy.rates, *scorer.notes, *run.row_notes, *run.cache_notes]
    details = [*policy.rates, *run.piece_notes]
    measured = m.calibration.settings if run.calibration and m.calibration else {}
    for key in ("max_length", "turns", "long_answers"):
        now = getattr(settings, key)
        if measured.get(key, now) != now:
            notes.append(f"the calibration was made with {key} {measured[key]}, this run has {now}")
    target = settings.model if settings.proxy and settings.model else ""
    agreement = with_target(m.agreements, target) if target else None
    if target:
        notes.append(
            f"proxy: a bundle of {m.base_model.id} judges data for {target}; "
            f"{agreement or 'agreement unknown'}"
        )
    if run.calibration and run.calibration.curve.tokens:
        harm = f" + {run.calibration.harm_weight:g} x harm" if run.calibration.harm_weight else ""
        details.append(
            f"risk: where SQSD{harm} stands among benign answers of its length, as a normal score (2.33: the"
            " highest 1 in 100, 3.09: 1 in 1,000)"
        )
        notes.append(details[-1])
    raw = _raw_thresholds(policy)
    if raw and (target or len(settings.opinions) > 1):
        notes.append(raw_threshold_note(m, raw))
    uncovered = scorer.uncovered
    if uncovered:
        notes.append(
            f"{uncovered:.1%} of the model's parameters are no linear layers (experts, routers): "
            "no score covers them"
        )
    placed = m.validation.placed(run.calibration.percentile) if m.validation and run.calibration else None
    return Head(
        base_model=m.base_model.id,
        bundle_id=m.id,
        bundle_digest=run.bundle.digest,
        metric=scorer.metric,
        expansion=scorer.expansion,
        dtype=scorer.dtype,
        device=scorer.device,
        error_threshold=policy.error_threshold,
        warning_threshold=policy.warning_threshold,
        notes=(*notes, *more),
        details=tuple(details),
        validation=placed,
        proxy_for=target,
        agreement=agreement,
        uncovered=uncovered,
    )


def _raw_thresholds(policy: Policy) -> list[str]:
    """Return the thresholds that are raw scores, as they were written."""
    thresholds = (policy.error_threshold, policy.warning_threshold)
    return [each.spec for each in thresholds if each and parse_threshold(each.spec).kind == "raw"]


def join_heads(heads: Mapping[str, Head], rule: ConsensusRule) -> Head:
    """Return one bundle's own head, or for several the heads of all and their texts beside one another.

    A note that only some bundles have is preceded by their name.

    Args:
        heads: by the bundles' names.
    """
    first, *others = heads.values()
    if not others:
        return first
    shared = [note for note in first.notes if all(note in head.notes for head in others)]
    own = [(name, note) for name, head in heads.items() for note in head.notes if note not in shared]
    details = [note for note in shared if note in first.details]
    details += [f"{name}: {note}" for name, note in own if note in heads[name].details]
    needed = quorum(rule, len(heads))
    judges = f"{len(heads)} bundles judge every row; {needed} must find it risky (consensus: {rule})"
    return Head(
        base_model=_texts(head.base_model for head in heads.values()),
        bundle_id=_texts(head.bundle_id for head in heads.values()),
        bundle_digest=_texts(head.bundle_digest for head in heads.values()),
        metric=_texts(head.metric for head in heads.values()),
        expansion=_texts(head.expansion for head in heads.values()),
        dtype=_texts(head.dtype for head in heads.values()),
        device=_texts(head.device for head in heads.values()),
        error_threshold=None,
        warning_threshold=None,
        notes=(judges, *shared, *(f"{name}: {note}" for name, note in own)),
        details=tuple(details),
        proxy_for=first.proxy_for,
        uncovered=max(head.uncovered for head in heads.values()),
        bundles=tuple(heads.values()),
        consensus=rule,
    )


def _texts(values: Iterable[str]) -> str:
    return " + ".join(dict.fromkeys(values))
