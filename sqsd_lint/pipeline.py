"""The one place that names the rooms in order: discover, read, samples, encode, score, judge, report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

from sqsd_lint.bundle.agreement import measure as measure_agreement
from sqsd_lint.bundle.agreement import read_scores
from sqsd_lint.bundle.agreement import store as store_agreement
from sqsd_lint.bundle.calibrate import ScoredSet
from sqsd_lint.bundle.calibrate import calibrate as store_calibration
from sqsd_lint.bundle.choose import open_for
from sqsd_lint.bundle.store import Bundle
from sqsd_lint.config import Settings
from sqsd_lint.discover import ON_DISK, IgnoreFiles, Selection, select
from sqsd_lint.errors import UsageError
from sqsd_lint.judge import Judged, count_coverage, exit_code, hear, judge_all, next_steps
from sqsd_lint.panel import hear_each, join_heads, open_sessions, settings_of_each
from sqsd_lint.progress import Progress
from sqsd_lint.read import SUFFIXES
from sqsd_lint.rows import Rows, clean_samples, read_samples
from sqsd_lint.rulebook import open_rulebook
from sqsd_lint.session import Session
from sqsd_lint.types import Problem, Report, Sample, ScoredRow


def check(settings: Settings, *, progress: Progress | None = None) -> Report:
    """Score every row under `settings.paths`, or those that changed, and judge them.

    Raises:
        SqsdLintError: wrong settings, a missing bundle, model or commit. Rows and files that cannot be scored
            are no errors but findings.
    """
    return examine(settings, progress=progress)[0]


def examine(settings: Settings, *, progress: Progress | None = None) -> tuple[Report, Judged]:
    """What `check` reports, and the judgement behind it, with the findings that were accepted before."""
    begun = time.perf_counter()
    with ExitStack() as stack:
        # First: with --policy-ref it refuses a bundle or a cache that a change moved, before either is used.
        book = stack.enter_context(open_rulebook(settings))
        sessions = open_sessions(settings_of_each(settings), progress)
        # Only now it is known which models these bundles are made for; nothing of them has been read yet.
        for session in sessions.values():
            if place := session.engine.base_place:
                book.hold(str(place), "the base model")
        found = stack.enter_context(closing(_select(settings, book.ignore_files)))
        fresh = Rows(found, settings)
        read_once = "-" in settings.paths and len(sessions) > 1
        said = hear_each(sessions, list(fresh) if read_once else fresh, found.problems, book.pack)
    files = [file.name for file in found.files]
    heard = hear([each.voice for each in said], settings.consensus, files=files)
    judged = judge_all(heard, book.accepted, files=files, whole=set(files) - fresh.partial)
    cached = min(each.cached for each in said)
    coverage = replace(
        count_coverage(heard.rows, heard.problems, allow=settings.allow, cached=cached, files=len(files)),
        unchanged=fresh.unchanged,
        notes=(*found.all_notes, *fresh.notes),
    )
    head = join_heads(said, settings.consensus)
    compared = (found.comparison,) if found.comparison else ()
    report = Report(
        head=replace(head, notes=(*head.notes, *compared, *book.notes, *judged.notes)),
        violations=judged.violations,
        coverage=coverage,
        exit_code=int(exit_code(judged.violations, coverage, fail_on=settings.fail_on)),
        seconds=time.perf_counter() - begun,
        rows=tuple(heard.rows),
        next_steps=next_steps(
            judged.violations,
            coverage,
            said[0].voice.policy,
            others=[each.voice.policy for each in said[1:]],
            baseline=book.accepted.baseline is not None,
        ),
        baselined=judged.baselined,
        suppressed=judged.suppressed,
    )
    return report, judged


def score(settings: Settings, *, progress: Progress | None = None) -> Iterator[ScoredRow | Problem]:
    """Every row's score, in the order of files and rows, without a judgement."""
    session = Session(settings, progress)
    found = select_all(settings)
    yield from found.problems
    yield from session.score_samples(Rows(found, settings))


def calibrate(
    bundle: str,
    sets: Mapping[str, Mapping[str, Sequence[Sample]]],
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Bundle:
    """Score reference sets and store both distributions and the tolerance between dtypes in a bundle.

    Args:
        sets: "benign" and "harmful" -> name of a set -> rows that no adapter of the bundle was trained on.

    Raises:
        UsageError: a row of a reference set cannot be scored.
    """
    session = Session(replace(settings, bundle=bundle), progress)
    scored = {
        role: [ScoredSet(name, session.reference_scores(rows)) for name, rows in sets.get(role, {}).items()]
        for role in ("benign", "harmful")
    }
    samples = {s.fingerprint: s for named in sets.values() for rows in named.values() for s in rows}
    scores = [score for role in scored.values() for one in role for score in one.scores]
    return store_calibration(
        session.bundle,
        scored["benign"],
        scored["harmful"],
        dtype_pairs=session.dtype_pairs(scores, samples),
        dtype=session.engine.dtype,
        settings={"max_length": settings.max_length, "turns": settings.turns},
    )


def agree(
    bundle: str,
    scores: Path,
    files: Sequence[str],
    settings: Settings,
    *,
    target_bundle: str | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Score rows with a proxy that a target has scored, and store in the proxy how far the ranks agree.

    Args:
        bundle: the proxy's.
        scores: what `score` wrote with the target's own bundle.
        files: where the rows are; rows that the target has not scored are passed by.
        settings: `model` names the target, unless `target_bundle` does.
        target_bundle: the bundle that the target's scores were made with.

    Raises:
        UsageError: no target is named, too few rows are found, or a row cannot be scored.
        BundleError: with a lock in `settings`, one of the two bundles is not the locked one.
    """
    wanted = read_scores(scores)
    cache = Path(settings.cache_dir) if settings.cache_dir else None
    own = open_for(replace(settings, bundle=target_bundle), cache_dir=cache) if target_bundle else None
    target = settings.model or (own.manifest.base_model.id if own else None)
    if target is None:
        raise UsageError(
            "the target's name is missing", hint="name it with --model, or its bundle with --target-bundle"
        )
    session = Session(replace(settings, bundle=bundle, proxy=True), progress)
    samples: dict[str, Sample] = {}
    for file in files:
        for item in read_samples(file, settings):
            if not isinstance(item, Problem) and item.fingerprint in wanted:
                samples.setdefault(item.fingerprint, item)
    ours = session.reference_scores(list(samples.values()))
    pairs = [(wanted[score.fingerprint], score.sqsd) for score in ours]
    name = Path(target).name if Path(target).is_dir() else target
    measured = measure_agreement(pairs, target=name, bundle_digest=own.digest if own else None)
    return store_agreement(session.bundle, measured)


def reference_rows(
    files: Sequence[str], settings: Settings, rows: int | None = None
) -> dict[str, list[Sample]]:
    """The rows of reference files by file name, at most `rows` of each.

    Raises:
        UsageError: a row that is no training sample: a reference set must be clean.
    """
    found: dict[str, list[Sample]] = {}
    for file in files:
        found.setdefault(Path(file).name, []).extend(islice(clean_samples(file, settings), rows))
    return found


def select_all(settings: Settings) -> Selection:
    """The data files under the given paths, whole, whatever of them has changed.

    Raises:
        UsageError: there are none.
    """
    return _select(replace(settings, staged=False, changed_since=None))


def _select(settings: Settings, ignore_files: IgnoreFiles = ON_DISK) -> Selection:
    """The data files under the given paths.

    Raises:
        UsageError: there are none. A gate that looks in the wrong place must not stay green.
    """
    found = select(
        settings.paths,
        exclude=settings.exclude,
        force_exclude=settings.force_exclude,
        ignore_files=ignore_files,
        staged=settings.staged,
        changed_since=settings.changed_since,
        whole=settings.scope == "files",
    )
    if not (found.files or found.problems or found.notes or found.comparison):
        raise UsageError(
            f"no data files found under {', '.join(settings.paths)}",
            hint=f"name a file, or a folder that holds one of {', '.join(SUFFIXES)}",
        )
    return found
