"""Resolve a path through links, as far as a repository could have laid them."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# As many as Linux follows.
_MOST_LINKS = 40


@dataclass(frozen=True, slots=True)
class ResolvedPath:
    """Where a path meets a repository; places are below its top folder, with slashes, "" for that itself.

    Attributes:
        name: the rest of the path where it first enters, by its name: no link of the repository is followed.
            None if it never enters.
        met: links, and repositories within the repository, that it goes through.
        end: where it ends; None outside of the repository.
    """

    name: str | None
    met: tuple[str, ...]
    end: str | None

    @property
    def places(self) -> set[str]:
        """All of them that are in the repository: a link may be new, and so may what an old one leads to."""
        return {each for each in (self.name, self.end, *self.met) if each is not None}


def resolve(path: str, root: str) -> ResolvedPath:
    """Follow a path, which need not exist, from the root of the file system on.

    Args:
        root: the top folder of the repository.
    """
    top = os.stat(root)
    absolute = Path(os.path.join(os.getcwd(), path))  # `link/..` is not where the link lies
    anchor, rest = absolute.anchor, list(reversed(absolute.parts[1:]))
    here, name, links = anchor, None, 0
    met: list[str] = []
    within: tuple[str, ...] | None = None  # the parts of `here` below the top folder
    while True:
        if within is None and _is(here, top):
            within = ()
        if name is None and within == ():
            name = _below("/".join(reversed(rest)))
        if not rest:
            return ResolvedPath(name, tuple(met), None if within is None else "/".join(within))
        part = rest.pop()
        if part in ("", "."):
            continue
        if part == "..":
            here, within = os.path.dirname(here), within[:-1] if within else None
            continue
        at, below = os.path.join(here, part), None if within is None else (*within, part)
        target = _target(at) if links < _MOST_LINKS else None
        if target is None:
            if below and os.path.lexists(os.path.join(at, ".git")):
                met.append("/".join(below))
            here, within = at, below
            continue
        links += 1
        if below:
            met.append("/".join(below))
        led = Path(target)
        if led.is_absolute():
            here, within = led.anchor, None
        rest += reversed(led.parts[1:] if led.is_absolute() else led.parts)


def links_below(folder: str) -> Iterator[str]:
    """Yield the links in a folder and its folders, none of which is followed."""
    for at, folders, files in os.walk(folder):
        yield from (path for each in (*folders, *files) if os.path.islink(path := os.path.join(at, each)))
        folders[:] = [each for each in folders if each != ".git"]


def _below(rest: str) -> str | None:
    """Return what is left of a path at the top folder, "" for nothing; None if it leaves again."""
    inside = posixpath.normpath(rest or ".")
    if inside.split("/")[0] == "..":
        return None
    return "" if inside == "." else inside


def _target(path: str) -> str | None:
    """Return where a link leads, None for anything else."""
    try:
        return os.readlink(path)
    except (OSError, ValueError):  # ValueError: a NUL in it
        return None


def _is(path: str, top: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), top)
    except (OSError, ValueError):
        return False
