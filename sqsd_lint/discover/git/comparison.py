"""Two states of a repository: what is judged, what it is compared with, and which paths differ.

The commit that a change is to be compared with, as the machine that runs the checks tells it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sqsd_lint.discover.default_excludes import suffix_of
from sqsd_lint.discover.git.diff import FORMAT, LINK, SUBMODULE, DiffEntry, entries
from sqsd_lint.discover.git.repository import Git
from sqsd_lint.errors import UsageError

# What GitHub writes of an event stays far below.
_MAX_BYTES = 32 << 20


def ci_base(environ: Mapping[str, str]) -> str | None:
    """Return the base of the pull request, merge group or merge request that this run is about.

    None for a run of another kind, and where the working folder lies outside of the checkout: what happens in
    a folder of its own is no part of that change.

    Args:
        environ: the process's environment.
    """
    if environ.get("GITHUB_ACTIONS") == "true":
        return _github(environ) if _inside(environ.get("GITHUB_WORKSPACE")) else None
    if environ.get("GITLAB_CI") == "true":
        base = environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA") or None
        return base if _inside(environ.get("CI_PROJECT_DIR")) else None
    return None


def _github(environ: Mapping[str, str]) -> str | None:
    event = environ.get("GITHUB_EVENT_NAME")
    if event == "pull_request":
        branch = environ.get("GITHUB_BASE_REF")
        return _entry(environ, "pull_request", "base", "sha") or (f"origin/{branch}" if branch else None)
    if event == "merge_group":
        return _entry(environ, "merge_group", "base_sha")
    return None


def _entry(environ: Mapping[str, str], *keys: str) -> str | None:
    """Return a text of the event's description, None if it is not there."""
    try:
        with open(environ.get("GITHUB_EVENT_PATH", ""), "rb") as stream:
            value: Any = json.loads(stream.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) and value else None


def _inside(folder: str | None) -> bool:
    if not folder:
        return False
    here, top = os.path.realpath(os.getcwd()), os.path.realpath(folder)
    return here == top or here.startswith(os.path.join(top, ""))


RANGE = "..."
_LINKS_AT_MOST = 8
_LINK_BYTES = 4096
_CHANGING = ("ident", "filter", "working-tree-encoding")
_TOP = ("--", ":/")  # a path that means the whole work tree, wherever the command starts


@dataclass(frozen=True, slots=True)
class KeptVersions:
    """A path as a commit or the index keeps it."""

    mode: str
    blob: str


class Comparison:
    """What changed, from a base to what is judged.

    Args:
        git: the repository.
        base: the tree or commit that holds the old versions.
        judged: "index", "work tree", or a commit.
        note: what the head of a report says about it.

    Attributes:
        repositories: those that lie untracked in the work tree, once the entries were asked for.
    """

    def __init__(self, git: Git, base: str, judged: str, note: str) -> None:
        self.git = git
        self.base = base
        self.judged = judged
        self.note = note
        self.repositories: list[str] = []

    @classmethod
    def staged(cls, git: Git) -> Comparison:
        """Return the index against the last commit, or against nothing before the first."""
        head = git.head()
        against = f"HEAD ({head[:12]})" if head else "nothing: there is no commit yet"
        return cls(
            git, head or git.empty_tree(), "index", f"only what is staged is judged, compared with {against}"
        )

    @classmethod
    def since(cls, git: Git, ref: str) -> Comparison:
        """Return the work tree, or the commit NEW of `OLD...NEW`, against its last common commit with `ref`.

        An OLD that is all zeros stands for nothing, as in what git hands to the hooks of a push.

        Raises:
            UsageError: a commit is not here, the two share no history, or a bare repository has no work tree.
        """
        ref, dots, new = ref.partition(RANGE)
        judged = git.commit(new) if dots else "work tree"
        if not dots and not git.root:
            raise UsageError(
                f"--changed-since {ref}: there is no work tree here",
                hint="Name the commit to judge: OLD...NEW.",
            )
        what = f"only what {new} ({judged[:12]}) adds is judged" if dots else "only what is new is judged"
        if ref and not ref.strip("0"):
            return cls(git, git.empty_tree(), judged, f"{what}, compared with nothing")
        tip = git.commit(ref)
        base = git.merge_base(tip, judged if dots else git.commit("HEAD"))
        against = f"{ref} ({base[:12]})" if base == tip else f"{ref} (common commit {base[:12]})"
        return cls(git, base, judged, f"{what}, compared with {against}")

    @property
    def on_disk(self) -> bool:
        """Whether files are judged as they lie on disk."""
        return self.judged == "work tree"

    def entries(self) -> list[DiffEntry]:
        """Return the paths that differ, each once."""
        if self.judged == "index":
            return self._diff("diff-index", "--cached", "-M", self.base, "--")
        if not self.on_disk:
            return self._diff("diff-tree", "-r", "-M", self.base, self.judged, "--")
        # Through the index, where git compares digests alone: against the work tree itself, looking for
        # renames would send files through the filters that the configuration names.
        found = {entry.path: entry for entry in self._diff("diff-index", "--cached", "-M", self.base, "--")}
        for entry in self._diff("diff-files"):
            if entry.status != "U":  # the version on disk follows as an entry of its own
                found[entry.path] = _on_disk(entry, found.get(entry.path, entry))
        # A submodule with local changes is a change of its own, at the same commit.
        if submodules := [path for path, kept in self.kept.items() if kept.mode == SUBMODULE]:
            specs = [f":(top,literal){path}" for path in submodules]
            for entry in self._diff("diff-files", "--ignore-submodules=none", "--", *specs):
                found.setdefault(entry.path, entry)
        for path in (*self.git.on_trust(":/"), *self._changed_on_the_way()):
            if path not in found:
                old = self.kept[path]  # which the base has, too
                found[path] = DiffEntry(path, "M", old.mode, "", path, old.mode, old.blob)
        # By the ignore files of the work tree alone, as a search goes: others show in no review.
        others = ("ls-files", "--others", "--exclude-per-directory=.gitignore", "-z", "--full-name")
        for path in self.git.items(*others, *_TOP):
            if path.endswith("/"):
                self.repositories.append(path.rstrip("/"))
            else:
                new = DiffEntry(path, "A", "100644", "", path, "000000", "")
                found[path] = _on_disk(new, found.get(path, new))
        return list(found.values())

    def _changed_on_the_way(self) -> list[str]:
        """Return the data files that git compares only after a change's attributes had them changed.

        `ident` makes one of every `$Id: ... $`, whatever stands in it, and a filter may do anything; that of
        Git LFS is known.
        """
        data = [
            path for path, kept in self.kept.items() if suffix_of(path) and kept.mode not in (LINK, SUBMODULE)
        ]
        places = [os.path.relpath(path, self.git.prefix or ".") for path in data]
        names = dict(zip(places, data, strict=True))
        told = self.git.items("check-attr", "-z", "--stdin", *_CHANGING, given=places) if places else []
        found = {
            names[path]
            for path, _, value in zip(told[::3], told[1::3], told[2::3], strict=True)
            if value not in ("unspecified", "unset", "lfs")
        }
        return [path for path in data if path in found and os.path.lexists(os.path.join(self.git.root, path))]

    def _diff(self, command: str, *arguments: str) -> list[DiffEntry]:
        return list(entries(self.git.items(command, *FORMAT, *arguments)))

    @cached_property
    def kept(self) -> Mapping[str, KeptVersions]:
        """Every path that the index, or the judged commit, holds."""
        if self.judged == "index" or self.on_disk:
            return _kept(self.git.items("ls-files", "--stage", "-z", "--full-name", *_TOP), blob=1)
        return _kept(self.git.items("ls-tree", "-r", "-z", "--full-tree", self.judged, "--"), blob=2)

    def submodule_of(self, path: str) -> str:
        """Return the submodule that a path is or lies in, "" for none."""
        for end in (i for i, char in enumerate(f"{path}/") if char == "/"):
            kept = self.kept.get(path[:end])
            if kept and kept.mode == SUBMODULE:
                return path[:end]
        return ""

    def target(self, path: str, read: Callable[[str, int], bytes]) -> tuple[str, KeptVersions] | None:
        """Return the file inside of the repository that a symbolic link leads to, None if there is none.

        Args:
            path: the link.
            read: the content of a blob of at most so many bytes.
        """
        end = self.leads_to(path, read)
        found = self.kept.get(end) if end else None
        return (end, found) if end and found and found.mode not in (LINK, SUBMODULE) else None

    def leads_to(self, path: str, read: Callable[[str, int], bytes]) -> str | None:
        """Return where a path ends, links on the way followed: at a file, a folder ("." the top) or nothing.

        None for a loop, and outside of the repository.

        Args:
            read: as for `target`.
        """
        for _ in range(_LINKS_AT_MOST + 1):
            if path.startswith(("/", "../")) or path == "..":
                return None
            ends = (end for end, char in enumerate(f"{path}/") if char == "/")
            link = next((path[:end] for end in ends if self._is_link(path[:end])), "")
            if not link:
                return path
            to = os.fsdecode(read(self.kept[link].blob, _LINK_BYTES))
            rest = path[len(link) + 1 :]
            path = os.path.normpath(os.path.join(os.path.dirname(link), to, rest)).replace(os.sep, "/")
        return None

    def _is_link(self, path: str) -> bool:
        return path in self.kept and self.kept[path].mode == LINK


def _on_disk(entry: DiffEntry, known: DiffEntry) -> DiffEntry:
    """Return what lies on disk, compared with the old version that the index was compared with."""
    status = known.status if entry.status != "D" and known.status not in "DU" else entry.status
    return replace(known, path=entry.path, status=status, mode=entry.mode, blob="")


def _kept(items: Iterable[str], blob: int) -> dict[str, KeptVersions]:
    found = {}
    for item in items:
        facts, _, path = item.partition("\t")
        words = facts.split(" ")
        found[path] = KeptVersions(words[0], words[blob])
    return found
