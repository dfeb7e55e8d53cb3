"""The one place that names the rooms in order: discover, read, samples, encode, score, judge, report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
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
from sqsd_lint.session import Session
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
    benign: Sequence[str],
    harmful: Sequence[str],
    settings: Settings,
    *,
    rows: int | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Score reference sets and store both distributions and the tolerance between dtypes in a bundle.

    Args:
        benign, harmful: files of rows that no adapter of the bundle was trained on.
        rows: at most so many rows of each file.

    Raises:
        UsageError: a row of a reference set cannot be scored.
    """
    session = Session(replace(settings, bundle=bundle), progress)
    samples: dict[str, Sample] = {}
    sets: dict[str, list[ScoredSet]] = {"benign": [], "harmful": []}
    for role, files in (("benign", benign), ("harmful", harmful)):
        for file in files:
            scores = session.reference_scores(file, rows, samples)
            sets[role].append(ScoredSet(Path(file).name, scores))
    every = [score for role in sets.values() for scored in role for score in scored.scores]
    return store_calibration(
        session.bundle,
        sets["benign"],
        sets["harmful"],
        dtype_pairs=session.dtype_pairs(every, samples),
        dtype=session.engine.dtype,
        settings={"max_length": settings.max_length, "turns": settings.turns},
    )


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
