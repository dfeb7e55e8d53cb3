"""What judges the data, taken from a commit: a change cannot loosen the rules that it is judged by.

Files of the repository come from that commit, whatever the work tree holds. Files outside of it are no part
of any change, and are read where they lie.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from sqsd_lint.discover.git.objects import NotInRepositoryError, Objects
from sqsd_lint.discover.git.repository import Git
from sqsd_lint.discover.resolve_links import links_below, resolve
from sqsd_lint.errors import ConfigError, UsageError

OPTION = "--policy-ref"
# A baseline of a large repository holds an entry of some hundred bytes for each accepted finding.
_MAX_BYTES = 64 << 20
# A command line holds them all, at a few hundred bytes each.
_MAX_SPECS = 500


class PolicyRef:
    """The files of a commit, by the paths that they have in the work tree.

    Args:
        ref: a branch, tag or commit.

    Attributes:
        label: the ref and its commit, for messages.

    Raises:
        UsageError: no such commit, or no repository.
    """

    def __init__(self, ref: str) -> None:
        self.git = Git(OPTION)
        self.commit = self.git.commit(ref)
        self.label = f"{ref} ({self.commit[:12]})"
        self._objects = Objects()

    def close(self) -> None:
        self._objects.close()

    def _named(self, path: str) -> str | None:
        """Return a path's place below the root by its name: the work tree's links may be a change's own.

        None outside of the repository; a link that leads into it from outside is followed.
        """
        return resolve(path, self.git.root or os.getcwd()).name  # a bare one stands as if it were checked out

    def holds(self, path: str) -> bool:
        """Whether a path lies inside of the repository, so that the commit decides what is there."""
        return self._named(path) is not None

    def has_folder(self, path: str) -> bool:
        """Whether the commit has a folder there."""
        inside = self._named(path)
        if not inside:
            return inside == ""
        tree = ("ls-tree", "-d", "-z", "--name-only", "--full-tree")
        return bool(self.git.items(*tree, self.commit, "--", f":(top,literal){inside}"))

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, from the commit if it `holds` the path; None where there is none.

        Raises:
            ConfigError: it is too large, or a link to no file of the repository.
        """
        inside = self._named(path)
        if inside is None:
            return _read(path)
        try:
            return self._objects.read(f"{self.commit}:{inside}", _MAX_BYTES)
        except NotInRepositoryError as error:
            if str(error) == "not in the repository" or "where a file" in str(error):
                return None
            raise ConfigError(f"{path}: {error}, at {self.label}") from None

    def text(self, path: str) -> str | None:
        """Return the text of an ignore file, None where there is none."""
        data = self.read(path)
        return None if data is None else data.decode("utf-8", "surrogateescape")

    def refuse_change(self, path: str, what: str) -> None:
        """Hold a folder inside of the repository, and the way to it, to what the commit has there.

        What links in it lead to, inside of the repository, is held likewise.

        Raises:
            UsageError: a file in it differs; a link or a submodule that leads to it does; it is gone.
        """
        if not self.git.root:
            return
        held: set[str] = set()
        walked: set[str | None] = {None}
        paths = [path]
        while paths:
            resolved = [resolve(each, self.git.root) for each in paths]
            new = {place for each in resolved for place in each.places} - held
            if changed := self._changed(sorted(new)):
                raise UsageError(
                    f"{what} {path} differs from what it is at {self.label}: {changed}",
                    hint="Keep it outside of the repository, or change it in a change of its own first.",
                )
            held |= new
            # A link that a change brought was refused just now: those that are left can be followed.
            ends = {each.end for each in resolved} - walked
            walked |= ends
            paths = [link for end in ends for link in links_below(os.path.join(self.git.root, end or ""))]

    def _changed(self, places: Sequence[str]) -> str:
        """Return the first file that differs from the commit's; "" if none does."""
        plain = ("--name-only", "-z", "--no-relative", "--no-ext-diff", "--no-textconv")
        specs = [f":(top,literal){each}" if each else ":/" for each in places]
        for begin in range(0, len(specs), _MAX_SPECS):
            some = specs[begin : begin + _MAX_SPECS]
            found = self.git.items("diff", *plain, "--ignore-submodules=none", self.commit, "--", *some)
            if found:
                return found[0]
            if hidden := self.git.on_trust(*some):
                return f"{hidden[0]}, which is marked --assume-unchanged or --skip-worktree"
        return ""


def _read(path: str) -> bytes | None:
    """Return a file outside of the repository, None where there is none that can be read."""
    try:
        with open(path, "rb") as stream:
            return stream.read(_MAX_BYTES + 1)
    except OSError:
        return None
