"""Rows that are not in files of this machine: in memory, or in a data set of the Hugging Face Hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqsd_lint.config import Settings
from sqsd_lint.discover import ON_DISK, SUFFIXES, DataFile, IgnoreFiles, Selection, find_files
from sqsd_lint.errors import CannotScoreError, UsageError
from sqsd_lint.run.rows import Rows, read_samples, select_files
from sqsd_lint.samples import to_sample
from sqsd_lint.types import Problem, Row, Sample, Undesirable, Where

HUB = "hf://datasets/"
_ADDRESS = re.compile(
    r"hf://datasets/(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/\s]+))?(?:/(?P<path>\S+?))?/?\Z"
)


@dataclass(frozen=True, slots=True)
class Given:
    """What is to be judged in place of the files of the settings.

    Attributes:
        tables: rows by the name that reports show for them; each can be gone through several times.
        files: files of this machine by that name.
    """

    tables: Mapping[str, Iterable[Any]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


class GivenRows(Rows):
    """The rows of what was given, judged like those of files."""

    def __init__(self, given: Given, selection: Selection, settings: Settings, *, each_problem: bool) -> None:
        super().__init__(selection, settings, each_problem=each_problem)
        self._given = given

    def _read(
        self, blob: str, name: str, pass_by: Callable[[str], None] | None = None
    ) -> Iterator[Sample | Problem | Undesirable]:
        if name in self._given.files:
            yield from read_samples(
                self._given.files[name],
                self._settings,
                shown=name,
                reading=self._reading,
                pass_by=pass_by,
            )
            return
        for index, raw in enumerate(self._given.tables[name]):
            yield to_sample(Row(Where(name, index + 1, index), raw), self._reading)


def select_given(
    settings: Settings,
    given: Given | None,
    ignore_files: IgnoreFiles = ON_DISK,
    *,
    each_problem: bool = False,
) -> tuple[Selection, Rows]:
    """Return the selection of a run and its rows: of what was given, else of the files of the settings.

    Raises:
        UsageError: there is nothing to judge.
    """
    if given is None:
        selection = select_files(settings, ignore_files)
        return selection, Rows(selection, settings, each_problem=each_problem)
    selection = Selection([DataFile(name) for name in (*given.tables, *given.files)])
    return selection, GivenRows(given, selection, settings, each_problem=each_problem)


def from_hub(address: str) -> Given:
    """Download the data files of a data set of the Hub: `hf://datasets/org/name@revision/path`.

    They are read as files are: no script of the data set is run.

    Raises:
        UsageError: no such address, or a data set without a file that is read.
        CannotScoreError: the data set cannot be fetched.
    """
    match = _ADDRESS.match(address)
    if match is None:
        raise UsageError(
            f"{address!r} is no data set",
            hint="Write hf://datasets/org/name[@revision][/path].",
        )
    from huggingface_hub import snapshot_download

    path = match["path"]
    wanted = [path, f"{path}/*"] if path else [f"*{suffix}" for suffix in SUFFIXES]
    try:
        folder = snapshot_download(
            match["id"], repo_type="dataset", revision=match["revision"], allow_patterns=wanted
        )
    # The Hub client raises its own errors, those of its HTTP library and OSError, by version and cause.
    except Exception as error:
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise CannotScoreError(
            f"{address}: the data set cannot be fetched: {first}",
            hint="Check the name and the network; gated data sets need `hf auth login`.",
        ) from error
    commit = re.split(r"[\\/]", folder.rstrip("\\/"))[-1][:12]
    found = find_files([folder], ignore_files=IgnoreFiles(()))
    files = {f"{HUB}{match['id']}@{commit}/{file[len(folder) :].lstrip('/')}": file for file in found.files}
    if not files:
        raise UsageError(
            f"{address}: no data files there", hint=f"Files that are read end in {', '.join(SUFFIXES)}."
        )
    return Given(files=files)
