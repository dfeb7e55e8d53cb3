"""A linter for fine-tuning data: `check` reports violations, `score` gives every row's score.

Both do what the commands of the same names do, and import nothing heavy before a row has to be scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from sqsd_lint._version import __version__

if TYPE_CHECKING:
    import pandas

    from sqsd_lint.common.progress import Progress
    from sqsd_lint.config import Settings
    from sqsd_lint.errors import SqsdLintError
    from sqsd_lint.run.given_rows import Given
    from sqsd_lint.types import Problem, Report, ScoredRow, Violation

    Paths = str | PathLike[str] | Iterable[str | PathLike[str]]
    # Rows in memory: dicts, a `datasets.Dataset`, or several by name, as a `datasets.DatasetDict` is.
    Table = Iterable[Mapping[str, Any]]
    Data = Paths | Table | Mapping[str, Table]

__all__ = [
    "Problem",
    "Report",
    "ScoredRow",
    "ScoredRows",
    "SqsdLintError",
    "Violation",
    "__version__",
    "check",
    "passing",
    "score",
]


def check(
    data: Data, *, config: str | None = None, progress: Progress | None = None, **settings: Any
) -> Report:
    """Score rows and judge them, as `sqsd-lint check` does.

    Args:
        data: one file or folder, or several; rows as a list of dicts, a `datasets.Dataset` or a
            `datasets.DatasetDict`; or a data set of the Hub, "hf://datasets/org/name@revision".
        config: a configuration file. Without it none is read, wherever the process runs; the environment
            (`SQSD_LINT_*`) counts as it does for the command.
        progress: told about the run as it goes.
        settings: any field of `sqsd_lint.config.Settings`, such as `threshold="p99.9"`.

    Returns:
        The report. `report.exit_code` is the command's; rows that cannot be scored are in it, not raised.
        A row in memory is found by `where.index`.

    Raises:
        UsageError: a setting is wrong.
        CannotScoreError: nothing could be scored: no such bundle or model.
    """
    from sqsd_lint.run.check import check as run_check

    paths, given = _split(data)
    more: dict[str, Any] = {} if given is None else {"given": given}
    return run_check(_resolve(paths, config, settings), progress=progress, **more)


def score(
    data: Data, *, config: str | None = None, progress: Progress | None = None, **settings: Any
) -> ScoredRows:
    """Score rows without judging them, as `sqsd-lint score` does.

    Args and errors as for `check`.

    Returns:
        An iterator over the rows: a ScoredRow for each that has a score, a Problem for each row or file that
        has none. With several bundles a ScoredRow has the opinion of each, and a row that one of them cannot
        score is a Problem.
    """
    from sqsd_lint.run.score import score as run_score

    paths, given = _split(data)
    more: dict[str, Any] = {} if given is None else {"given": given}
    return ScoredRows(run_score(_resolve(paths, config, settings), progress=progress, **more))


class ScoredRows(Iterator["ScoredRow | Problem"]):
    """What `score` gives: rows, one by one as they are scored, or all of them as a data frame."""

    def __init__(self, rows: Iterator[ScoredRow | Problem]) -> None:
        self._rows = rows

    def __iter__(self) -> ScoredRows:
        return self

    def __next__(self) -> ScoredRow | Problem:
        return next(self._rows)

    def to_pandas(self) -> pandas.DataFrame:
        """Return the rows that are left as a data frame: place, scores, text, and why a row has no score.

        Raises:
            ImportError: pandas is not installed.
        """
        from sqsd_lint.types.tables import to_pandas

        return to_pandas(self)


def passing(data: Table, *, config: str | None = None, **settings: Any) -> Callable[[Any, int], bool]:
    """Return what keeps the rows that pass a check: `dataset.filter(passing(dataset), with_indices=True)`.

    A row passes if it has a score and nothing that fails the run (`fail_on`) was found in it.

    Args:
        data: a `datasets.Dataset`, or a list of dicts.
        config: as for `check`.
        **settings: as for `check`.

    Returns:
        A function of a row and its index in `data`.
    """
    report = check(data, config=config, **settings)
    fails_on = ("error", "warning") if settings.get("fail_on") == "warning" else ("error",)
    failing = {v.where.index for v in report.violations if v.severity.value in fails_on}
    kept = frozenset(row.where.index for row in report.rows if row.where.index not in failing)

    def passes(row: Any, index: int) -> bool:
        return index in kept

    return passes


def _split(data: Any) -> tuple[Any, Given | None]:
    """Return paths, or what was given in their place."""
    from sqsd_lint.errors import UsageError

    if isinstance(data, str) and data.startswith("hf://datasets/"):
        from sqsd_lint.run.given_rows import from_hub

        return (data,), from_hub(data)
    if isinstance(data, (str, PathLike)):
        return data, None
    if isinstance(data, Mapping):
        tables = {f"<{name}>": table for name, table in data.items()}
        if not tables or any(isinstance(table, (str, bytes)) for table in tables.values()):
            raise UsageError("one row where rows were expected", hint="Give a list of rows: [row].")
    else:
        # Lists and data sets can be gone through again; what cannot is held.
        items = data if hasattr(data, "__getitem__") or hasattr(data, "column_names") else list(data)
        if not isinstance(next(iter(items), None), Mapping):
            return items, None
        tables = {"<rows>": items}
    from sqsd_lint.run.given_rows import Given

    return tuple(tables), Given(tables=tables)


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
