"""What a search or a comparison passes by, counted by kind: rows may hide behind any name.

One note a kind, with a few names: a project of programs must not become a wall of text.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Sequence
from enum import Enum

from sqsd_lint.discover.default_excludes import (
    CONTROL,
    NOT_READ,
    SUFFIXES,
    is_not_data,
    is_quarantine,
    may_hold_rows,
    suffix_of,
)

_NAMES_AT_MOST = 3
_CHANGED_AT_MOST = 10


class PathKind(Enum):
    """Why something is passed by, in the words of its note: of one, and of several."""

    FORMAT = ("file of another format was not read", "files of other formats were not read")
    SETTINGS = (
        "JSON file was not read, since its name is one of settings or metadata",
        "JSON files were not read, since their names are those of settings or metadata",
    )
    QUARANTINE = ("quarantine file was not read", "quarantine files were not read")
    TOOLS = (
        "folder of a tool holds files that may be data and was not searched",
        "folders of tools hold files that may be data and were not searched",
    )
    IN_TOOLS = ("file in a folder of a tool was not read", "files in folders of tools were not read")
    LINK = ("symbolic link was not followed", "symbolic links were not followed")
    REPOSITORY = (
        "repository inside of this one was not entered",
        "repositories inside of this one were not entered",
    )
    IGNORED = (
        "path is left out by `exclude` or an ignore file",
        "paths are left out by `exclude` or ignore files",
    )


def kind_of(name: str) -> PathKind | None:
    """Return why a file of this name is passed by, None for one that is read."""
    if is_quarantine(name):
        return PathKind.QUARANTINE
    if not suffix_of(name):
        return PathKind.FORMAT
    return PathKind.SETTINGS if is_not_data(name) else None


class NotRead:
    """Collects what is passed by.

    Args:
        changed: whether it is a change that is looked at: then files are named rather than counted by suffix.

    Attributes:
        searched: real paths of the folders that were looked into.
    """

    def __init__(self, *, changed: bool = False) -> None:
        self._changed = changed
        self._found: dict[PathKind, dict[str, str]] = {}
        self.searched: set[str] = set()

    def add(self, kind: PathKind, name: str, real: str) -> None:
        """Take a path in.

        Args:
            name: the path as it is shown.
            real: what it leads to, by which it is known: a real path, or a place in the repository.
        """
        if os.path.basename(name) not in CONTROL:
            self._found.setdefault(kind, {}).setdefault(real, name)

    def drop(self, read: Collection[str]) -> None:
        """Forget what was read or searched after all, by another name or since the user named it."""
        for names in self._found.values():
            for real in [real for real in names if real in read or real in self.searched]:
                del names[real]

    @property
    def notes(self) -> tuple[str, ...]:
        """One note a kind."""
        return tuple(
            self._by_suffix(list(names.values()))
            if kind is PathKind.FORMAT
            else listing(list(names.values()), kind.value[0], kind.value[1], self._most)
            for kind in PathKind
            if (names := self._found.get(kind))
        )

    @property
    def count(self) -> int:
        """How many of the paths may hold rows, and were not left out by the user."""
        return sum(
            kind is not PathKind.FORMAT or may_hold_rows(os.path.basename(name))
            for kind, names in self._found.items()
            if kind is not PathKind.IGNORED
            for name in names.values()
        )

    @property
    def _most(self) -> int:
        return _CHANGED_AT_MOST if self._changed else _NAMES_AT_MOST

    def _by_suffix(self, names: list[str]) -> str:
        """Return the note on files of other formats: those that are likely to hold rows stand first."""
        names.sort(key=lambda name: (_likelihood(name), name))
        if self._changed or len(names) <= _NAMES_AT_MOST:
            return listing(names, *PathKind.FORMAT.value, self._most)
        counts = Counter(_suffix(name) for name in names)
        first = {_suffix(name): _likelihood(name) for name in reversed(names)}
        order = sorted(counts, key=lambda suffix: (first[suffix], -counts[suffix], suffix))
        shown = ", ".join(f"{counts[suffix]:,} {suffix}" for suffix in order[:_CHANGED_AT_MOST])
        rest = sum(counts[suffix] for suffix in order[_CHANGED_AT_MOST:])
        return f"{len(names):,} {PathKind.FORMAT.value[1]}: {shown}" + (
            f" and {rest:,} others" if rest else ""
        )


def listing(names: Sequence[str], one: str, many: str, most: int = _NAMES_AT_MOST) -> str:
    """`1 file is unchanged: a.jsonl`, and no more than a few names of many."""
    shown = ", ".join(names[:most])
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{len(names):,} {one if len(names) == 1 else many}: {shown}{more}"


def _likelihood(name: str) -> int:
    """0 for a file that is likely to hold rows, 1 for one that may, 2 for one that does not by its name."""
    lower = os.path.basename(name).lower()
    if not may_hold_rows(lower):
        return 2
    return 0 if lower.endswith(NOT_READ) or any(suffix in lower for suffix in SUFFIXES) else 1


def _suffix(name: str) -> str:
    base = os.path.basename(name)
    stem, dot, suffix = base.rpartition(".")
    return f".{suffix.lower()}" if dot and stem and len(suffix) <= len(".safetensors") else "without a suffix"
