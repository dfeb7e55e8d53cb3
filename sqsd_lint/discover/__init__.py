"""Which files: named ones as they are, folders searched for data."""

from __future__ import annotations

import os
from collections.abc import Sequence

from sqsd_lint.discover.ignore import Exclude, Ignore
from sqsd_lint.discover.suffixes import SUFFIXES, suffix_of
from sqsd_lint.discover.walk import unreadable, walk
from sqsd_lint.types import Problem

__all__ = ["SUFFIXES", "find_files", "suffix_of"]


def find_files(
    paths: Sequence[str], *, exclude: Sequence[str] = (), force_exclude: bool = False
) -> tuple[list[str], list[Problem]]:
    """The files to lint, in the order of `paths`, each once however often it is named or linked to.

    Args:
        paths: files, taken whatever their suffix; folders, searched for the known SUFFIXES except what
            `discover.skip`, .gitignore and .sqsdlintignore leave out; "-" for standard input.
        exclude: patterns as in .gitignore, relative to the working folder, of what a search leaves out.
        force_exclude: whether `exclude` and the ignore files hold for named files, too, for callers such as
            pre-commit that name files themselves.

    Returns:
        The files, and an SQSD304 for every path that does not exist or cannot be searched.

    Raises:
        UsageError: an exclude pattern that means nothing.
    """
    patterns = Exclude(exclude)
    files: dict[str, str] = {}
    problems: list[Problem] = []
    for path in paths:
        try:
            items = _expand(path, patterns, force_exclude)
        except OSError as error:
            problems.append(unreadable(path, f"cannot be searched: {error}", "check the permissions"))
            continue
        for item in items:
            if isinstance(item, Problem):
                problems.append(item)
            else:
                files.setdefault(item if item == "-" else os.path.realpath(item), item)
    return list(files.values()), problems


def _expand(path: str, exclude: Exclude, force_exclude: bool) -> list[str | Problem]:
    if path == "-":
        return [path]
    try:
        is_folder = os.path.isdir(path)
        if not is_folder and not os.path.lexists(path):
            return [unreadable(path, "no such file or folder", "check the path")]
    except ValueError as error:
        return [unreadable(path, f"not a path: {error}", "check the path")]
    absolute = os.path.abspath(path)
    if force_exclude and _excluded(absolute, is_folder, exclude):
        return []
    return list(walk(path, exclude)) if is_folder else [path]


def _excluded(path: str, is_folder: bool, exclude: Exclude) -> bool:
    if exclude.matches(path, is_folder=is_folder):
        return True
    folder = os.path.dirname(path)
    ignore = Ignore.of(folder, Ignore.above(folder))
    return ignore is not None and ignore.matches(path, is_folder=is_folder)
