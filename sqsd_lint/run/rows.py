"""The rows of the files to lint as samples, without those that an old version of their file holds already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sqsd_lint.config import Settings
from sqsd_lint.discover import ON_DISK, DataFile, IgnoreFiles, Selection, select
from sqsd_lint.discover.git.objects import NotInRepositoryError
from sqsd_lint.errors import UsageError
from sqsd_lint.read import DEFAULT_LIMITS, SUFFIXES, read_rows
from sqsd_lint.samples import Columns, to_sample
from sqsd_lint.types import Problem, Sample, Where

CLEAN_REFERENCE = "a reference set must hold rows that can be scored, and no others"


def read_samples(file: str, settings: Settings, *, shown: str | None = None) -> Iterator[Sample | Problem]:
    """The rows of a file as samples, in order; what is no sample comes out as a Problem in its place.

    Args:
        shown: the name to report, where `file` is a copy of what is meant.
    """
    columns = Columns.from_mapping(settings.columns) if settings.columns else None
    for row in read_rows(file, stdin_format=settings.stdin_format, shown=shown):
        yield row if isinstance(row, Problem) else to_sample(row, columns)


def clean_samples(file: str, settings: Settings) -> Iterator[Sample]:
    """The rows of a file that must hold nothing but samples: a reference set.

    Raises:
        UsageError: a row that is none.
    """
    for item in read_samples(file, settings):
        if isinstance(item, Problem):
            raise UsageError(f"{item.where}: {item.message}", hint=CLEAN_REFERENCE)
        yield item


class Rows:
    """The rows of a selection that are to be judged, read anew each time that they are gone through.

    Attributes:
        unchanged: how many rows were passed by, since the old version of their file holds them.
        partial: the files of which some were.
        notes: old versions that could not be compared with, in words.

    The attributes are those of the last time.
    """

    def __init__(self, selection: Selection, settings: Settings) -> None:
        self._selection = selection
        self._settings = settings
        self.unchanged = 0
        self.partial: set[str] = set()
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[Sample | Problem]:
        self.unchanged = 0
        self.partial = set()
        self.notes = []
        for file in self._selection.files:
            yield from self._new(file)

    def _new(self, file: DataFile) -> Iterator[Sample | Problem]:
        """What a file holds and its old version does not; a row without a fingerprint counts as new."""
        old = self._fingerprints(file)
        for item in self._read(file.blob, file.name):
            if item.fingerprint and item.fingerprint in old:
                self.unchanged += 1
                self.partial.add(file.name)
            else:
                yield item

    def _fingerprints(self, file: DataFile) -> set[str]:
        """Of the rows that the old version of a file holds; none if it cannot be read whole."""
        found: set[str] = set()
        if file.old:
            for item in self._read(file.old, file.name):
                if isinstance(item, Problem) and item.code == "SQSD304":
                    self.notes.append(
                        f"every row of {file.name} is judged, since its old version cannot be read:"
                        f" {item.message}"
                    )
                    return set()
                if item.fingerprint:
                    found.add(item.fingerprint)
        return found

    def _read(self, blob: str, name: str) -> Iterator[Sample | Problem]:
        versions = self._selection.versions
        if not blob or versions is None:
            yield from read_samples(name, self._settings)
            return
        try:
            with versions.open(blob, name, DEFAULT_LIMITS.max_file_bytes) as path:
                yield from read_samples(path, self._settings, shown=name)
        except NotInRepositoryError as error:
            where = Where(name, 0, -1)
            yield Problem("SQSD304", where, f"{error} (object {blob[:12]})", "`git fetch` it", rows=0)


def select_all(settings: Settings) -> Selection:
    """The data files under the given paths, whole, whatever of them has changed.

    Raises:
        UsageError: there are none.
    """
    return select_files(replace(settings, staged=False, changed_since=None))


def select_files(settings: Settings, ignore_files: IgnoreFiles = ON_DISK) -> Selection:
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
