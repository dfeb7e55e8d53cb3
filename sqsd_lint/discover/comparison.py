"""Two states of a repository: what is judged, what it is compared with, and which paths differ."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from sqsd_lint.discover.git import Git
from sqsd_lint.discover.raw import FORMAT, LINK, SUBMODULE, Entry, entries
from sqsd_lint.errors import UsageError

RANGE = "..."
_LINKS_AT_MOST = 8
_LINK_BYTES = 4096
_TOP = ("--", ":/")  # a path that means the whole work tree, wherever the command starts


@dataclass(frozen=True, slots=True)
class Kept:
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
    """

    def __init__(self, git: Git, base: str, judged: str, note: str) -> None:
        self.git = git
        self.base = base
        self.judged = judged
        self.note = note

    @classmethod
    def staged(cls, git: Git) -> Comparison:
        """The index against the last commit, or against nothing before the first."""
        head = git.head()
        against = f"HEAD ({head[:12]})" if head else "nothing: there is no commit yet"
        return cls(
            git, head or git.empty_tree(), "index", f"only what is staged is judged, compared with {against}"
        )

    @classmethod
    def since(cls, git: Git, ref: str) -> Comparison:
        """The work tree, or the commit NEW of `OLD...NEW`, against its last common commit with `ref`.

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

    def entries(self) -> list[Entry]:
        """The paths that differ, each once."""
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
        untracked = self.git.items("ls-files", "--others", "--exclude-standard", "-z", "--full-name", *_TOP)
        for path in untracked:
            if not path.endswith("/"):  # that would be a repository of its own
                new = Entry(path, "A", "100644", "", path, "000000", "")
                found[path] = _on_disk(new, found.get(path, new))
        return list(found.values())

    def _diff(self, command: str, *arguments: str) -> list[Entry]:
        return list(entries(self.git.items(command, *FORMAT, *arguments)))

    @cached_property
    def kept(self) -> Mapping[str, Kept]:
        """Every path that the index, or the judged commit, holds."""
        if self.judged == "index" or self.on_disk:
            return _kept(self.git.items("ls-files", "--stage", "-z", "--full-name", *_TOP), blob=1)
        return _kept(self.git.items("ls-tree", "-r", "-z", "--full-tree", self.judged, "--"), blob=2)

    def submodule_of(self, path: str) -> str:
        """The submodule that a path is or lies in, "" for none."""
        for end in (i for i, char in enumerate(f"{path}/") if char == "/"):
            kept = self.kept.get(path[:end])
            if kept and kept.mode == SUBMODULE:
                return path[:end]
        return ""

    def target(self, path: str, kept: Kept, read: Callable[[str, int], bytes]) -> tuple[str, Kept] | None:
        """The file inside of the repository that a symbolic link leads to, None if there is none.

        Args:
            path, kept: the link.
            read: the content of a blob of at most so many bytes.
        """
        for _ in range(_LINKS_AT_MOST):
            link = os.fsdecode(read(kept.blob, _LINK_BYTES))
            path = os.path.normpath(os.path.join(os.path.dirname(path), link)).replace(os.sep, "/")
            if path not in self.kept:
                break
            kept = self.kept[path]
            if kept.mode != LINK:
                return None if kept.mode == SUBMODULE else (path, kept)
        return None


def _on_disk(entry: Entry, known: Entry) -> Entry:
    """What lies on disk, compared with the old version that the index was compared with."""
    status = known.status if entry.status != "D" and known.status not in "DU" else entry.status
    return replace(known, path=entry.path, status=status, mode=entry.mode, blob="")


def _kept(items: Iterable[str], blob: int) -> dict[str, Kept]:
    found = {}
    for item in items:
        facts, _, path = item.partition("\t")
        words = facts.split(" ")
        found[path] = Kept(words[0], words[blob])
    return found
