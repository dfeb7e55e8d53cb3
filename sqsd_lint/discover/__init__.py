"""Which files: named ones as they are, folders searched for data, and what git says has changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from sqsd_lint.discover.default_excludes import SUFFIXES, suffix_of
from sqsd_lint.discover.git.comparison import ci_base
from sqsd_lint.discover.ignore import ON_DISK, OWN_FILE, Exclude, Ignore, IgnoreFiles
from sqsd_lint.discover.not_read import NotRead, listing
from sqsd_lint.discover.selection import EXCLUDED, DataFile, Selection, Versions
from sqsd_lint.discover.walk import unreadable, walk
from sqsd_lint.errors import UsageError
from sqsd_lint.types import Problem

__all__ = [
    "AUTO",
    "NONE",
    "ON_DISK",
    "SUFFIXES",
    "DataFile",
    "IgnoreFiles",
    "Selection",
    "Versions",
    "ci_base",
    "find_files",
    "select",
    "suffix_of",
]


# Values of `changed_since` that are no commits; a branch of such a name is refs/heads/auto.
AUTO = "auto"
NONE = "none"


class Found(NamedTuple):
    """What a search found.

    Attributes:
        files: the files to lint.
        problems: an SQSD304 for every path that does not exist or cannot be searched.
        excluded: named paths that `force_exclude` leaves out.
        not_read: what was passed by below a folder, and not named.
    """

    files: list[str]
    problems: list[Problem]
    excluded: list[str]
    not_read: NotRead


def select(
    paths: Sequence[str],
    *,
    exclude: Sequence[str] = (),
    force_exclude: bool = False,
    ignore_files: IgnoreFiles = ON_DISK,
    staged: bool = False,
    changed_since: str | None = None,
    whole: bool = False,
) -> Selection:
    """Return the files to lint, and what each is compared with.

    Args:
        paths, exclude, force_exclude, ignore_files: as for `find_files`.
        staged: what the index adds to the last commit, as the index holds it.
        changed_since: what the work tree adds to its last common commit with this ref; `OLD...NEW` for what
            the commit NEW adds; "auto" for the base of the change that a CI run is about, if it is about one;
            "none" for every row.
        whole: judge every row of a changed file.

    Raises:
        UsageError: no repository or no such commit, standard input among the paths, an exclude pattern that
            means nothing, or both kinds of comparison.
    """
    if staged and changed_since:
        raise UsageError("--staged and --changed-since contradict each other", hint="Give one of them.")
    option = "--staged" if staged else "--changed-since"
    if changed_since == NONE:
        changed_since = None
    elif changed_since == AUTO:
        changed_since = ci_base(os.environ)
        option = "the comparison with the base of this CI run (--changed-since none judges every row)"
    if not staged and not changed_since:
        found = find_files(paths, exclude=exclude, force_exclude=force_exclude, ignore_files=ignore_files)
        notes = [listing(found.excluded, *EXCLUDED)] if found.excluded else []
        files = [DataFile(file) for file in found.files]
        return Selection(files, found.problems, notes, found.not_read)

    from sqsd_lint.discover.changed import Changed
    from sqsd_lint.discover.git.comparison import Comparison
    from sqsd_lint.discover.git.repository import Git
    from sqsd_lint.discover.walk import SearchFilter

    git = Git(option)
    comparison = Comparison.since(git, changed_since) if changed_since else Comparison.staged(git)
    wanted = SearchFilter(git.root, Exclude(exclude), IgnoreFiles((OWN_FILE,), ignore_files.text))
    return Changed(comparison, wanted, force_exclude=force_exclude, whole=whole).select(paths)


def find_files(
    paths: Sequence[str],
    *,
    exclude: Sequence[str] = (),
    force_exclude: bool = False,
    ignore_files: IgnoreFiles = ON_DISK,
) -> Found:
    """Return the files to lint, in the order of `paths`, each once however often it is named or linked to.

    Args:
        paths: files, taken whatever their suffix; folders, searched for the known SUFFIXES except what
            `discover.skip`, .gitignore and .sqsdlintignore leave out; "-" for standard input.
        exclude: patterns as in .gitignore, relative to the working folder, of what a search leaves out.
        force_exclude: whether `exclude` and the ignore files hold for named files, too, for callers such as
            pre-commit that name files themselves.
        ignore_files: which ignore files count, and where they come from.

    Raises:
        UsageError: an exclude pattern that means nothing.
    """
    patterns = Exclude(exclude)
    files: dict[str, str] = {}
    problems: list[Problem] = []
    excluded: list[str] = []
    not_read = NotRead()
    for path in paths:
        try:
            items = _expand(path, patterns, force_exclude, ignore_files, not_read)
        except OSError as error:
            problems.append(unreadable(path, f"cannot be searched: {error}", "check the permissions"))
            continue
        if items is None:
            excluded.append(path)
        for item in items or ():
            if isinstance(item, Problem):
                problems.append(item)
            else:
                files.setdefault(item if item == "-" else os.path.realpath(item), item)
    not_read.drop(files)
    return Found(list(files.values()), problems, excluded, not_read)


def _expand(
    path: str, exclude: Exclude, force: bool, files: IgnoreFiles, not_read: NotRead
) -> list[str | Problem] | None:
    """Return what a path stands for, None where it is excluded."""
    if path == "-":
        return [path]
    try:
        is_folder = os.path.isdir(path)
        if not is_folder and not os.path.lexists(path):
            return [unreadable(path, "no such file or folder", "check the path")]
    except ValueError as error:
        return [unreadable(path, f"not a path: {error}", "check the path")]
    absolute = os.path.abspath(path)
    if force and _excluded(absolute, is_folder, exclude, files):
        return None
    return list(walk(path, exclude, files, not_read)) if is_folder else [path]


def _excluded(path: str, is_folder: bool, exclude: Exclude, files: IgnoreFiles) -> bool:
    if exclude.matches(path, is_folder=is_folder):
        return True
    folder = os.path.dirname(path)
    ignore = Ignore.of(folder, Ignore.above(folder, files), files)
    return ignore is not None and ignore.matches(path, is_folder=is_folder)
