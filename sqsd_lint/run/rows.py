"""The rows of the files to lint as samples, without those that an old version of their file holds already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from sqsd_lint.config import Settings
from sqsd_lint.discover import ON_DISK, DataFile, IgnoreFiles, Selection, select, suffix_of
from sqsd_lint.discover.default_excludes import ARCHIVE
from sqsd_lint.discover.git.objects import NotInRepositoryError
from sqsd_lint.discover.not_read import PathKind, kind_of, listing
from sqsd_lint.errors import UsageError
from sqsd_lint.read import DEFAULT_LIMITS, SUFFIXES, read_rows
from sqsd_lint.samples import UNKNOWN, Reading, fold, to_sample
from sqsd_lint.types import Problem, Row, Sample, Undesirable, Where

ReadFile = Callable[[str], Iterator[Row | Problem]]

CLEAN_REFERENCE = "a reference set must hold rows that can be scored, and no others"
_NOT_DATA = (
    "file holds no row that looks like a sample and was not read (leave it out with `exclude`, or name what"
    " to read with `paths`)",
    "files hold no row that looks like a sample and were not read (leave them out with `exclude`, or name"
    " what to read with `paths`)",
)


def reading_of(settings: Settings) -> Reading:
    """Return how the settings want rows to be read."""
    return Reading.from_tables(settings.columns, settings.roles, SEPARATORS[settings.context_separator])


SEPARATORS = {"blank-line": "\n\n", "line-break": "\n"}


def read_samples(
    file: str,
    settings: Settings,
    *,
    shown: str | None = None,
    reading: Reading | None = None,
    pass_by: Callable[[str], None] | None = None,
    read: ReadFile | None = None,
) -> Iterator[Sample | Problem | Undesirable]:
    """Yield the rows of a file as samples, in order; what is no sample comes out in its place.

    Args:
        shown: the name to report, where `file` is a copy of what is meant.
        reading: as the settings want it, where it is made already.
        pass_by: takes the name of each file in an archive that is not read.
        read: what reads the file, where not all of it is wanted.
    """
    reading = reading or reading_of(settings)
    rows = (
        read(file)
        if read
        else read_rows(file, stdin_format=settings.stdin_format, shown=shown, pass_by=pass_by)
    )
    for row in rows:
        yield row if isinstance(row, Problem) else to_sample(row, reading)


def why_undesirable(row: Undesirable) -> str:
    """Return why a row is not judged, in words."""
    return f"`{row.sign}` is false, so that training pushes away from the answer: it is not judged"


def clean_samples(file: str, settings: Settings) -> Iterator[Sample]:
    """Yield the rows of a file that must hold nothing but samples: a reference set.

    Raises:
        UsageError: a row that is none.
    """
    for item in read_samples(file, settings):
        if not isinstance(item, Sample):
            message = item.message if isinstance(item, Problem) else why_undesirable(item)
            raise UsageError(f"{item.where}: {message}", hint=CLEAN_REFERENCE)
        yield item


class Rows:
    """The rows of a selection that are to be judged, read anew each time that they are gone through.

    Args:
        each_problem: one problem for every row, in its place, and not one for all rows of one fault.
        read: what reads a file, where not all of it is wanted.

    Attributes:
        unchanged: how many rows were passed by, since the old version of their file holds them.
        partial: the files of which some were.
        undesirable: rows that training pushes away from, by the sign that says so.
        remarks: what of rows is not scored, or not as they say, and of how many.
        not_data: files that were found and hold no row that looks like a sample.

    The attributes are those of the last time, and so are the notes.
    """

    def __init__(
        self,
        selection: Selection,
        settings: Settings,
        *,
        each_problem: bool = False,
        read: ReadFile | None = None,
    ) -> None:
        self._read_file = read
        self._selection = selection
        self._settings = settings
        self._fold = not each_problem
        self._clear()

    def _clear(self) -> None:
        self.unchanged = 0
        self.partial: set[str] = set()
        self._old_versions: list[str] = []
        self.undesirable: Counter[str] = Counter()
        self.remarks: Counter[str] = Counter()
        self.not_data: list[str] = []
        self._reading = reading_of(self._settings)
        self._any = self._seen_known = False

    @property
    def notes(self) -> list[str]:
        """What was left out or not scored, with counts, and old versions that could not be compared with."""
        unused = self._reading.unused() if self._any else []
        counted = notes_on_rows(self.undesirable, self.remarks, self.not_data)
        return [*self._old_versions, *counted, *unused]

    def __iter__(self) -> Iterator[Sample | Problem]:
        self._clear()
        for file in self._selection.files:
            items = self._judged(file)
            if self._fold:
                items = fold(items)
            yield from self._without_foreign(file, items) if self._may_be_foreign(file) else items

    def _may_be_foreign(self, file: DataFile) -> bool:
        """Whether a file was found by a search, and may be other people's: settings, an archive."""
        if file.name in self._settings.paths and not self._settings.force_exclude:
            return False
        suffix = suffix_of(file.name)
        return suffix == ARCHIVE or (suffix.startswith(".json") and not suffix.startswith(".jsonl"))

    def _without_foreign(
        self, file: DataFile, items: Iterable[Sample | Problem]
    ) -> Iterator[Sample | Problem]:
        """Yield the items of a file, but none of a file without one row that looks like a sample.

        One object alone, as a file of settings or translations is, is no table of samples.
        """
        held: list[Problem] = []
        for item in items:
            if not self._seen_known and isinstance(item, Problem) and _is_unknown(item):
                held.append(item)
            else:
                yield from held
                held.clear()
                yield item
        alone = sum(item.rows for item in held) == 1
        if held and not self._seen_known and (alone or all(item.foreign for item in held)):
            self.not_data.append(file.name)
        else:
            yield from held

    def _judged(self, file: DataFile) -> Iterator[Sample | Problem]:
        """Yield what a file holds and its old version does not; a row without a fingerprint counts as new."""
        old = self._fingerprints(file)
        self._seen_known = False
        for item in self._read(file.blob, file.name, self._pass_by(file.name)):
            self._any = True
            self._seen_known = self._seen_known or not isinstance(item, Problem) or not _is_unknown(item)
            if item.fingerprint and item.fingerprint in old:
                self.unchanged += 1
                self.partial.add(file.name)
            elif isinstance(item, Undesirable):
                self.undesirable[item.sign] += 1
            else:
                if isinstance(item, Sample):
                    self.remarks.update(item.remarks)
                yield item

    def _fingerprints(self, file: DataFile) -> set[str]:
        """Of the rows that the old version of a file holds; none if it cannot be read whole."""
        found: set[str] = set()
        if file.old:
            for item in self._read(file.old, file.name):
                if isinstance(item, Problem) and item.code == "SQSD304":
                    self._old_versions.append(
                        f"every row of {file.name} is judged, since its old version cannot be read:"
                        f" {item.message}"
                    )
                    return set()
                if item.fingerprint:
                    found.add(item.fingerprint)
        return found

    def _pass_by(self, archive: str) -> Callable[[str], None]:
        def pass_by(member: str) -> None:
            name = f"{archive}/{member}"
            self._selection.not_read.add(kind_of(member) or PathKind.FORMAT, name, name)

        return pass_by

    def _read(
        self, blob: str, name: str, pass_by: Callable[[str], None] | None = None
    ) -> Iterator[Sample | Problem | Undesirable]:
        versions = self._selection.versions
        if not blob or versions is None:
            yield from read_samples(
                name, self._settings, reading=self._reading, pass_by=pass_by, read=self._read_file
            )
            return
        try:
            with versions.open(blob, name, DEFAULT_LIMITS.max_file_bytes) as path:
                yield from read_samples(
                    path, self._settings, shown=name, reading=self._reading, pass_by=pass_by
                )
        except NotInRepositoryError as error:
            where = Where(name, 0, -1)
            yield Problem("SQSD304", where, f"{error} (object {blob[:12]})", "`git fetch` it", rows=0)


def notes_on_rows(
    undesirable: Mapping[str, int], remarks: Mapping[str, int], not_data: Sequence[str]
) -> list[str]:
    """Return what was left out or not scored, with counts; the arguments are as in `Rows`."""
    signs = [
        f"{count:,} row{' is' if count == 1 else 's are'} not judged: `{sign}` is false, so that"
        " preference training pushes away from the answer (a trainer that reads no such column learns it)"
        for sign, count in sorted(undesirable.items())
    ]
    texts = [f"{text} ({count:,} row{'' if count == 1 else 's'})" for text, count in sorted(remarks.items())]
    return [*signs, *texts, *([listing(not_data, *_NOT_DATA)] if not_data else [])]


def _is_unknown(problem: Problem) -> bool:
    """Whether a problem says that something is no sample, rather than that a sample has a fault."""
    return problem.fold in UNKNOWN or problem.foreign


def select_all(settings: Settings) -> Selection:
    """Return the data files under the given paths, whole, whatever of them has changed.

    Raises:
        UsageError: there are none.
    """
    return select_files(replace(settings, staged=False, changed_since=None))


def select_files(settings: Settings, ignore_files: IgnoreFiles = ON_DISK) -> Selection:
    """Return the data files under the given paths.

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
        seen = f" ({'; '.join(found.not_read.notes)})" if found.not_read.notes else ""
        raise UsageError(
            f"no data files found under {', '.join(settings.paths)}{seen}",
            hint=f"name a file, or a folder that holds one of {', '.join(SUFFIXES)}",
        )
    return found
