"""The bundles of a run, one or several, on the same rows, with one model in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

from sqsd_lint.bundle.load import BundleInfo
from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.errors import BundleError, UsageError
from sqsd_lint.rules import Accepted, Pack, Policy, SecondLook
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.report_head import join_heads, make_head
from sqsd_lint.types import Head, Problem, Sample, ScoredRow


def settings_of_each(settings: Settings) -> list[Settings]:
    """Return the settings of a run, once for every bundle that it has."""
    return [replace(settings, bundle=bundle) for bundle in settings.opinions] or [settings]


class Panel:
    """The bundles that judge the rows of a run; a single bundle is a panel of one.

    Attributes:
        runs: by the bundle's id; by id and digest where two have the same id.

    Raises:
        UsageError: two bundles that give the same scores, as one does that was calibrated anew.
        BundleError: a bundle is missing or damaged.
    """

    def __init__(self, settings: Settings, progress: Progress | None = None) -> None:
        runs = [BundleRun(each, progress) for each in settings_of_each(settings)]
        names = _names([run.bundle for run in runs])
        self.runs: dict[str, BundleRun] = dict(zip(names, runs, strict=True))
        self._settings = settings

    def policies(self, pack: Pack) -> list[Policy]:
        """Return a rule pack's policy for each bundle: thresholds are each bundle's own.

        Raises:
            BundleError: a bundle lacks the calibration that a threshold is relative to.
        """
        return [self._policy(name, pack) for name in self.runs]

    def score(
        self,
        rows: Iterable[Sample | Problem],
        policies: Sequence[Policy] = (),
        accepted: Accepted | None = None,
    ) -> list[Iterable[ScoredRow | Problem]]:
        """Return the rows as each bundle scores them, in their order.

        All bundles but the last have scored every row by then; the last one scores rows as they are taken. So
        the rows of a single bundle are never held.

        Args:
            rows: can be gone through once for each bundle; rows of standard input are held.
            policies: rows near their thresholds are kept for `settle`, those whose verdict an exact score can
                change; of several bundles all, since a report shows the opinion of each.
            accepted: findings that were accepted before, if the verdict leaves them out.

        Raises:
            UsageError: rows are not the same the second time; the last bundle's raise it as they are taken.
        """
        if len(self.runs) > 1 and "-" in self._settings.paths:
            rows = list(rows)
        thresholds = [policy.distinct_thresholds for policy in policies] or [()] * len(self.runs)
        for run, own in zip(self.runs.values(), thresholds, strict=True) if policies else ():
            run.use_screen(own, bundles=len(self.runs))
        *earlier, last = zip(self.runs.values(), thresholds, strict=True)
        scored: list[list[ScoredRow | Problem]] = []
        for run, own in earlier:
            items = run.score(rows, own)
            scored.append(list(_checked(scored[0], items) if scored else items))
        run, own = last
        second_look = SecondLook(policies[0], accepted) if len(policies) == 1 else None
        items = run.score(rows, own, second_look)
        return [*scored, _checked(scored[0], items) if scored else items]

    def settle(
        self, scored: Sequence[Iterable[ScoredRow | Problem]], *, in_order: bool = True
    ) -> list[Iterable[ScoredRow | Problem]]:
        """Return what `score` gave, with rows near a threshold scored again in exact mode.

        Args:
            in_order: as rows were read, for which all are held. Else, of a single bundle, none is held, and
                those near a threshold come last.
        """
        if len(scored) == 1 and not in_order:
            return [run.settle(items) for run, items in zip(self.runs.values(), scored, strict=True)]
        return [_settled_in_order(run, items) for run, items in zip(self.runs.values(), scored, strict=True)]

    def head(self, policies: Sequence[Policy]) -> Head:
        """Return the head of the report, once all rows are scored."""
        heads = map(make_head, self.runs.values(), policies)
        return join_heads(dict(zip(self.runs, heads, strict=True)), self._settings.consensus)

    @property
    def cached(self) -> int:
        """How many rows no bundle had to compute."""
        return min(run.cached for run in self.runs.values())

    @property
    def row_notes(self) -> tuple[str, ...]:
        """How rows were scored that are not scored in one piece, with counts."""
        return tuple(dict.fromkeys(note for run in self.runs.values() for note in run.row_notes))

    @property
    def cache_notes(self) -> tuple[str, ...]:
        """What the reader has to know about the state of the score cache."""
        return tuple(dict.fromkeys(note for run in self.runs.values() for note in run.cache_notes))

    def _policy(self, name: str, pack: Pack) -> Policy:
        try:
            return self.runs[name].policy(pack)
        except BundleError as error:
            if len(self.runs) == 1:
                raise
            raise type(error)(f"{name}: {error.message}", hint=error.hint) from None


def _settled_in_order(run: BundleRun, items: Iterable[ScoredRow | Problem]) -> list[ScoredRow | Problem]:
    taken: list[ScoredRow | Problem] = []

    def taking() -> Iterator[ScoredRow | Problem]:
        for item in items:
            taken.append(item)
            yield item

    settled = {row.where: row for row in run.settle(taking()) if isinstance(row, ScoredRow)}
    return [settled[item.where] if isinstance(item, ScoredRow) else item for item in taken]


def _names(bundles: Sequence[BundleInfo]) -> list[str]:
    """Return a name for each bundle.

    Raises:
        UsageError: two of them give the same scores.
    """
    first: dict[str, BundleInfo] = {}
    for bundle in bundles:
        same = first.setdefault(bundle.scoring_digest, bundle)
        if same is not bundle:
            wrong = "the same bundle is named twice: it agrees with itself"
            if same.digest != bundle.digest:
                pair = f"{same.id}@{same.digest[:12]} and {bundle.id}@{bundle.digest[:12]}"
                wrong = f"{pair} give the same scores: they are one opinion, not two"
            raise UsageError(wrong, hint="name different bundles")
    ids = [bundle.id for bundle in bundles]
    return [b.id if ids.count(b.id) == 1 else f"{b.id}@{b.digest[:12]}" for b in bundles]


def _checked(
    first: Sequence[ScoredRow | Problem], again: Iterable[ScoredRow | Problem]
) -> Iterator[ScoredRow | Problem]:
    """Yield `again`, and refuse rows that changed between two readings: opinions would be mixed up.

    Raises:
        UsageError: they did.
    """
    for one, other in zip_longest(first, again):
        if one is None or other is None or (one.where, one.fingerprint) != (other.where, other.fingerprint):
            file = (one or other).where.file
            raise UsageError(f"{file} changed while it was read", hint="run the command again")
        yield other
