"""The one place that names the rooms in order: discover, read, samples, encode, score, judge, report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from sqsd_lint.bundle.calibrate import ScoredSet
from sqsd_lint.bundle.calibrate import calibrate as store_calibration
from sqsd_lint.bundle.store import Bundle
from sqsd_lint.config import Settings
from sqsd_lint.discover import find_files
from sqsd_lint.errors import UsageError
from sqsd_lint.judge import count_coverage, exit_code, judge, next_steps
from sqsd_lint.progress import Progress
from sqsd_lint.read import SUFFIXES
from sqsd_lint.session import CLEAN_REFERENCE, Session, read_samples
from sqsd_lint.types import Problem, Report, Sample, ScoredRow


def check(settings: Settings, *, progress: Progress | None = None) -> Report:
    """Score every row under `settings.paths` and judge it.

    Raises:
        SqsdLintError: wrong settings, a missing bundle or model. Rows and files that cannot be scored
            are no errors but findings.
    """
    begun = time.perf_counter()
    session = Session(settings, progress)
    policy = session.policy()
    files, problems = _files(settings)
    rows: list[ScoredRow] = []
    for item in session.score_files(files, policy.lines):
        if isinstance(item, Problem):
            problems.append(item)
        else:
            rows.append(item)
    rows = session.settle(rows)
    violations = judge(rows, problems, policy, session.calibration, files=files)
    coverage = count_coverage(rows, problems, allow=settings.allow, cached=session.cached, files=len(files))
    return Report(
        head=session.head(policy),
        violations=tuple(violations),
        coverage=coverage,
        exit_code=int(exit_code(violations, coverage)),
        seconds=time.perf_counter() - begun,
        rows=tuple(rows),
        next_steps=next_steps(violations, coverage, policy),
    )


def score(settings: Settings, *, progress: Progress | None = None) -> Iterator[ScoredRow | Problem]:
    """Every row's score, in the order of files and rows, without a judgement."""
    session = Session(settings, progress)
    files, problems = _files(settings)
    yield from problems
    yield from session.score_files(files)


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


def reference_rows(
    files: Sequence[str], settings: Settings, rows: int | None = None
) -> dict[str, list[Sample]]:
    """The rows of reference files by file name, at most `rows` of each.

    Raises:
        UsageError: a row that is no training sample: a reference set must be clean.
    """
    found: dict[str, list[Sample]] = {}
    for file in files:
        kept = found.setdefault(Path(file).name, [])
        for item in islice(read_samples(file, settings), rows):
            if isinstance(item, Problem):
                raise UsageError(f"{item.where}: {item.message}", hint=CLEAN_REFERENCE)
            kept.append(item)
    return found


def _files(settings: Settings) -> tuple[list[str], list[Problem]]:
    """The data files under the given paths.

    Raises:
        UsageError: there are none. A gate that looks in the wrong place must not stay green.
    """
    files, problems = find_files(
        settings.paths, exclude=settings.exclude, force_exclude=settings.force_exclude
    )
    if not files and not problems:
        raise UsageError(
            f"no data files found under {', '.join(settings.paths)}",
            hint=f"name a file, or a folder that holds one of {', '.join(SUFFIXES)}",
        )
    return files, problems
