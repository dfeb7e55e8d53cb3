"""Git, asked through its own command: arguments as a list, answers split at NUL, nothing run by way of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from sqsd_lint.errors import UsageError

# Whatever a repository's own files say: no file system monitor and no pager is started; no list of untracked
# files, of parents or of times that was kept for speed is believed; and no name stands for another one.
_SETTINGS = (
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.commitGraph=false",
    "core.checkStat=default",
    "core.trustctime=true",
    "core.ignoreCase=false",
    "core.useReplaceRefs=false",
)
SAFE = ("git", "--no-pager", "--no-optional-locks", *(part for each in _SETTINGS for part in ("-c", each)))
# Objects are what their digests say: refs/replace/* and grafts, which a push or a local file may bring, would
# show another commit under a commit's name, its policy and its parents with it.
_FORCED = {
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": f"{os.devnull}/none",  # an empty one would be remarked upon
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
# Would turn a pathspec into one that names nothing, or take attributes from elsewhere.
_DROPPED = (
    *("GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"),
    *("GIT_REPLACE_REF_BASE", "GIT_ATTR_SOURCE", "GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS"),
)
_SHALLOW = "fetch the rest of the history: `git fetch --unshallow`, or `fetch-depth: 0` of actions/checkout"


class Git:
    """The repository around the working folder.

    GIT_DIR, GIT_INDEX_FILE, GIT_QUARANTINE_PATH and the like hold, as git sets them for its hooks: every
    command starts in the working folder, which is what their relative paths start from.

    Args:
        need: what needs a repository, for the message where there is none.

    Attributes:
        root: real path of the top folder of the work tree; "" in a bare repository.
        prefix: the working folder's path inside of the work tree, "" for its top.

    Raises:
        UsageError: no repository, or git is not installed.
    """

    def __init__(self, need: str) -> None:
        self._need = need
        inside, shallow, self.common_dir = self._facts()
        self._shallow = shallow == "true"
        self.root = self.prefix = ""
        if inside == "true":
            self.root = os.path.realpath(self.text("rev-parse", "--show-toplevel"))
            self.prefix = self.text("rev-parse", "--show-prefix").rstrip("/")

    def _facts(self) -> list[str]:
        code, out, said = _run(
            "rev-parse", "--is-inside-work-tree", "--is-shallow-repository", "--git-common-dir"
        )
        if code:
            reason = "this folder is in none" if "not a git repository" in said else said
            raise UsageError(
                f"{self._need} needs a git repository: {reason}",
                hint="Run it inside of the repository, or judge files as they are, without that option.",
            )
        return os.fsdecode(out).rstrip("\n").split("\n", 2)

    def bytes(self, *arguments: str, given: bytes = b"") -> bytes:
        """Return what a command prints.

        Raises:
            UsageError: it failed.
        """
        code, out, said = _run(*arguments, given=given)
        if code:
            raise UsageError(f"{self._need}: `git {arguments[0]}` failed: {said or f'exit code {code}'}")
        return out

    def text(self, *arguments: str) -> str:
        """Return what a command prints, without the last line's end."""
        return os.fsdecode(self.bytes(*arguments)).rstrip("\n")

    def items(self, *arguments: str, given: Sequence[str] = ()) -> list[str]:
        """Return what a command prints with -z.

        Args:
            given: what it reads with --stdin -z.
        """
        out = self.bytes(*arguments, given=b"".join(os.fsencode(each) + b"\0" for each in given))
        return [os.fsdecode(item) for item in out.split(b"\0") if item]

    def on_trust(self, *specs: str) -> list[str]:
        """Return files marked --assume-unchanged or --skip-worktree: git does not compare them with the disk.

        A sparse checkout marks so what it leaves out; those files are not on the disk, and not in the list.
        """
        listed = self.items("ls-files", "-v", "-z", "--full-name", "--", *specs)
        marked = [item[2:] for item in listed if item[0].islower() or item[0] == "S"]
        return [path for path in marked if os.path.lexists(os.path.join(self.root, path))]

    def empty_tree(self) -> str:
        """Return the object that stands for a tree without files, which every repository knows."""
        return self.text("hash-object", "-t", "tree", os.devnull)

    def head(self) -> str:
        """Return the commit that is checked out, "" before the first one."""
        code, out, _ = _run("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        return "" if code else os.fsdecode(out).strip()

    def commit(self, ref: str) -> str:
        """Return the commit that `ref` names.

        Raises:
            UsageError: it names none here.
        """
        if not ref or ref.startswith("-") or not ref.isprintable():
            raise UsageError(
                f"{self._need}: {ref!a} is no name of a commit", hint="Name a branch, tag or commit."
            )
        code, out, _ = _run("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        if code:
            raise UsageError(
                f"{self._need}: there is no commit {ref!a} in this {'shallow ' * self._shallow}clone",
                hint=f"{_sentence(_SHALLOW)}." if self._shallow else "Check the name, or `git fetch` it.",
            )
        return os.fsdecode(out).strip()

    def merge_base(self, old: str, new: str) -> str:
        """Return the last commit that the histories of two commits share.

        Raises:
            UsageError: they share none, or not in this clone.
        """
        code, out, said = _run("merge-base", old, new)
        if code not in (0, 1):
            raise UsageError(f"{self._need}: `git merge-base` failed: {said}")
        if code == 1 and self._shallow:
            raise UsageError(
                f"{self._need}: this clone is shallow and does not reach back to where {old[:12]} and"
                f" {new[:12]} part",
                hint=f"{_sentence(_SHALLOW)}.",
            )
        if code == 1:
            raise UsageError(
                f"{self._need}: {old[:12]} and {new[:12]} share no history",
                hint="Compare with another commit, or judge every row: `--changed-since none`.",
            )
        return os.fsdecode(out).strip()


def tracked_below(folder: str) -> tuple[str, frozenset[str]]:
    """Return the top of the work tree around a folder, and what git tracks in the folder, by places below it.

    Nothing where there is no work tree, or no git.
    """
    try:
        code, root, _ = _run("-C", folder, "rev-parse", "--show-toplevel")
        listed = b""
        if not code:
            code, listed, _ = _run("-C", folder, "ls-files", "-z", "--full-name")
    except UsageError:
        return "", frozenset()
    if code:
        return "", frozenset()
    return os.path.realpath(os.fsdecode(root.rstrip(b"\n"))), frozenset(
        os.fsdecode(name) for name in listed.split(b"\0") if name
    )


def environment() -> dict[str, str]:
    """Return the process's, with git's messages in English, no question asked, and no object replaced.

    GIT_DIR, the quarantine of a push and its alternates stay: git sets them for its hooks, and an object from
    there has its digest like any other.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _DROPPED and not name.startswith("GIT_TRACE")
    }
    return {**kept, **_FORCED}


def _run(*arguments: str, given: bytes = b"") -> tuple[int, bytes, str]:
    """Exit code, output and the first line of complaint."""
    try:
        done = subprocess.run(
            [*SAFE, *arguments], input=given, capture_output=True, env=environment(), check=False
        )
    except FileNotFoundError as error:
        raise UsageError("git is not installed", hint="Install git, or judge files as they are.") from error
    complaint = done.stderr.decode("utf-8", "backslashreplace").strip().split("\n", 1)[0]
    return done.returncode, done.stdout, complaint.removeprefix("fatal: ")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
