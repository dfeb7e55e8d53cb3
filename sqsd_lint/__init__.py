"""A linter for fine-tuning data: `check` reports violations, `score` gives every row's score.

Both do what the commands of the same names do, and import nothing heavy before a row has to be scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from typing import TYPE_CHECKING, Any

from sqsd_lint._version import __version__

if TYPE_CHECKING:
    from sqsd_lint.common.progress import Progress
    from sqsd_lint.config import Settings
    from sqsd_lint.errors import SqsdLintError
    from sqsd_lint.types import Problem, Report, ScoredRow, Violation

    Paths = str | PathLike[str] | Iterable[str | PathLike[str]]

__all__ = [
    "Problem",
    "Report",
    "ScoredRow",
    "SqsdLintError",
    "Violation",
    "__version__",
    "check",
    "score",
]


def check(
    paths: Paths, *, config: str | None = None, progress: Progress | None = None, **settings: Any
) -> Report:
    """Score the rows of files and judge them, as `sqsd-lint check` does.

    Args:
        paths: one file or folder, or several.
        config: a configuration file. Without it none is read, wherever the process runs; the environment
            (`SQSD_LINT_*`) counts as it does for the command.
        progress: told about the run as it goes.
        settings: any field of `sqsd_lint.config.Settings`, such as `threshold="p99.9"`.

    Returns:
        The report. `report.exit_code` is the command's; rows that cannot be scored are in it, not raised.

    Raises:
        UsageError: a setting is wrong.
        CannotScoreError: nothing could be scored: no such bundle or model.
    """
    from sqsd_lint.run.check import check as run_check

    return run_check(_resolve(paths, config, settings), progress=progress)


def score(
    paths: Paths, *, config: str | None = None, progress: Progress | None = None, **settings: Any
) -> Iterator[ScoredRow | Problem]:
    """Score the rows of files without judging them, as `sqsd-lint score` does.

    Args and errors as for `check`.

    Yields:
        A ScoredRow for each row that has a score, a Problem for each row or file that has none. With several
        bundles a ScoredRow has the opinion of each, and a row that one of them cannot score is a Problem.
    """
    from sqsd_lint.run.score import score as run_score

    return run_score(_resolve(paths, config, settings), progress=progress)


def _resolve(paths: Paths, config: str | None, settings: dict[str, Any]) -> Settings:
    import os
    from pathlib import Path

    from sqsd_lint.config import load_settings
    from sqsd_lint.errors import UsageError

    given = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
    if not given:
        # Settings would take an empty list for "not given", and lint the working directory instead.
        raise UsageError("no paths to check", hint='Give a file or folder, such as "data/train.jsonl".')
    cli = {**settings, "paths": tuple(os.fspath(path) for path in given)}
    isolated = config is None
    return load_settings(cli, config=config, isolated=isolated, cwd=Path.cwd(), environ=os.environ).settings


_HOMES = {
    "Problem": "types",
    "Report": "types",
    "ScoredRow": "types",
    "SqsdLintError": "errors",
    "Violation": "types",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
