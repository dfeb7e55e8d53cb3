"""The files of a comparison: what changed below the given paths, and the old version that each goes with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from sqsd_lint.discover.default_excludes import looks_like_rows
from sqsd_lint.discover.git.comparison import Comparison, KeptVersions
from sqsd_lint.discover.git.diff import LINK, SUBMODULE, DiffEntry
from sqsd_lint.discover.git.objects import NotInRepositoryError
from sqsd_lint.discover.not_read import NotRead, PathKind, listing
from sqsd_lint.discover.selection import EXCLUDED, DataFile, Selection, Versions, place
from sqsd_lint.discover.walk import SearchFilter, unreadable, walk
from sqsd_lint.errors import UsageError
from sqsd_lint.types import Problem

# What notes say of one file, and of several.
_UNCHANGED = ("named file is unchanged", "named files are unchanged")
_DELETED = ("named file is deleted", "named files are deleted")
_NOT_KEPT = ("named file is not staged", "named files are not staged")
_SUBMODULE = ("submodule is not entered", "submodules are not entered")
_UNTRACKED = (
    "file is not tracked by this repository, so that every row is judged",
    "files are not tracked by this repository, so that every row is judged",
)


class Changed:
    """Selects the files of one comparison.

    A file below a folder counts by the rules of a search, save that .gitignore says nothing about it: what
    git tracks, it does not ignore. A file that a search left out under its old name has no old version, so
    that moving it in is judged.

    Args:
        wanted: the rules of a search, with the ignore files that count.
        force_exclude: whether they hold for named files, too.
        whole: judge every row of a changed file.
    """

    def __init__(
        self,
        comparison: Comparison,
        wanted: SearchFilter,
        *,
        force_exclude: bool = False,
        whole: bool = False,
    ) -> None:
        self._comparison = comparison
        self._root = comparison.git.root
        self._wanted = wanted
        self._force_exclude = force_exclude
        self._whole = whole
        self._entries: Mapping[str, DiffEntry] = {entry.path: entry for entry in comparison.entries()}
        self._folders: list[str] = []
        self._taken: set[str] = set()
        self._notes: dict[tuple[str, str], list[str]] = {}
        self._not_read = NotRead(changed=True)
        self._versions = Versions(comparison.git.common_dir)
        self._found = Selection(comparison=comparison.note, versions=self._versions, not_read=self._not_read)

    def select(self, paths: Sequence[str]) -> Selection:
        """Return the changed files among `paths`, in that order.

        Raises:
            UsageError: "-" is among the paths.
        """
        if "-" in paths:
            raise UsageError(
                "standard input has no old version to compare with",
                hint="Name files instead.",
            )
        places = [(path, place(path, self._root)) for path in paths]
        self._folders = [inside for _, inside in places if inside is not None and self._is_folder(inside)]
        for path, inside in places:
            if inside is None or self._comparison.submodule_of(inside):
                self._elsewhere(path, inside or "")
            elif self._is_folder(inside):
                self._folder(path, inside)
            else:
                self._named(path, inside)
        self._found.notes = [listing(names, *words) for words, names in sorted(self._notes.items())]
        self._not_read.drop(self._taken)
        return self._found

    def _is_folder(self, inside: str) -> bool:
        if not inside:
            return True
        if inside in self._entries or inside in self._comparison.kept:
            return False
        below = f"{inside}/"
        return any(path.startswith(below) for path in (*self._entries, *self._comparison.kept)) or (
            self._comparison.on_disk and os.path.isdir(os.path.join(self._root, inside))
        )

    def _folder(self, path: str, inside: str) -> None:
        below = f"{inside}/" if inside else ""
        if inside and self._force_exclude and self._wanted.left_out(inside, is_folder=True):
            self._note(EXCLUDED, path)
            return
        for entry in sorted(self._entries.values(), key=lambda entry: _order(entry.path)):
            if not entry.path.startswith(below) or entry.status == "D":
                continue
            name = _shown(path, entry.path[len(below) :])
            if entry.mode == SUBMODULE:
                self._note(_SUBMODULE, name)
            elif kind := self._wanted.passed_by(entry.path, below):
                self._pass_by(kind, name, entry)
            else:
                self._take(name, entry)
        for link in self._links_to_changes(below):
            self._take(_shown(path, link.path[len(below) :]), link)
        for behind in self._links_to_changed_folders(below):
            self._not_read.add(PathKind.LINK, _shown(path, behind[len(below) :]), behind)
        for repository in self._comparison.repositories:
            if repository.startswith(below):
                self._not_read.add(PathKind.REPOSITORY, _shown(path, repository[len(below) :]), repository)

    def _pass_by(self, kind: PathKind, name: str, entry: DiffEntry) -> None:
        if kind is PathKind.FORMAT and entry.mode == LINK:
            kind = PathKind.LINK
        if kind is not PathKind.IN_TOOLS or looks_like_rows(os.path.basename(entry.path)):
            self._not_read.add(kind, name, entry.path)

    def _links_to_changes(self, below: str) -> list[DiffEntry]:
        """Links that are as they were, below a folder, and lead to a file that is not."""
        return [
            DiffEntry(link, "T", LINK, kept.blob, link, LINK, "")
            for link, kept in sorted(self._comparison.kept.items())
            if kept.mode == LINK
            and link.startswith(below)
            and link not in self._entries
            and self._wanted.found(link, below)
            and (target := self._target(link)) is not None
            and target[0] in self._entries
        ]

    def _links_to_changed_folders(self, below: str) -> list[str]:
        """Links below a folder that lead to another folder, in which a file changed that is not judged."""
        found = []
        for link, kept in sorted(self._comparison.kept.items()):
            if kept.mode != LINK or not link.startswith(below) or self._wanted.left_out(link):
                continue
            try:
                target = self._comparison.leads_to(link, self._versions.objects.read)
            except NotInRepositoryError:
                continue
            inside = "" if target == "." else f"{target}/"
            if target is not None and any(
                path.startswith(inside) and not self._is_judged(path) for path in self._entries
            ):
                found.append(link)
        return found

    def _is_judged(self, path: str) -> bool:
        return any(not folder or path.startswith(f"{folder}/") for folder in self._folders)

    def _named(self, path: str, inside: str) -> None:
        entry, kept = self._entries.get(inside), self._comparison.kept.get(inside)
        if self._force_exclude and self._wanted.left_out(inside):
            self._note(EXCLUDED, path)
        elif entry is not None and entry.status == "D":
            self._note(_DELETED, path)
        elif entry is not None:
            self._take(path, entry, named=True)
        elif kept is not None and kept.mode == LINK:
            target = self._target(inside)
            if target is not None and target[0] not in self._entries:
                self._note(_UNCHANGED, path)
            else:
                self._take(path, DiffEntry(inside, "T", LINK, kept.blob, inside, LINK, ""), named=True)
        elif kept is not None:
            self._note(_UNCHANGED, path)
        elif self._root and os.path.lexists(path):
            if self._comparison.on_disk:
                self._found.files.append(DataFile(path))
            else:
                self._note(_NOT_KEPT, path)
        else:
            self._problem(path, "no such file or folder", "check the path")

    def _elsewhere(self, path: str, inside: str) -> None:
        """Note a path outside of the repository, or in a submodule, which is a repository of its own."""
        if not self._comparison.on_disk or inside in self._comparison.kept:
            if self._comparison.submodule_of(inside):
                self._note(_SUBMODULE, path)
            else:
                self._problem(path, "outside of the repository", "judge it without a comparison")
            return
        if not os.path.lexists(path):
            self._problem(path, "no such file or folder", "check the path")
            return
        items = (
            [path] if not os.path.isdir(path) else walk(path, self._wanted.exclude, not_read=self._not_read)
        )
        for item in items:
            if isinstance(item, Problem):
                self._found.problems.append(item)
            else:
                self._note(_UNTRACKED, item)
                self._found.files.append(DataFile(item))

    def _take(self, name: str, entry: DiffEntry, *, named: bool = False) -> None:
        if entry.path in self._taken:
            return
        self._taken.add(entry.path)
        if self._comparison.on_disk:
            self._take_from_disk(name, entry, named)
        elif entry.status == "U":
            self._problem(name, "not merged: there are conflicts", "resolve them and `git add` the file")
        elif entry.mode == SUBMODULE:
            self._note(_SUBMODULE, name)
        elif entry.mode == LINK:
            target = self._target(entry.path)
            if target is None and self._leads_to_folder(entry.path):
                self._not_read.add(PathKind.LINK, name, entry.path)
            elif target is None:
                self._problem(name, "a symbolic link to no file in the repository", "commit that file")
            elif target[0] not in self._taken:
                self._taken.add(target[0])
                self._found.files.append(DataFile(name, target[1].blob))
        else:
            self._found.files.append(DataFile(name, entry.blob, self._old(entry)))

    def _take_from_disk(self, name: str, entry: DiffEntry, named: bool) -> None:
        path = os.path.join(self._root, entry.path)
        if os.path.islink(path):
            real = os.path.realpath(path)
            if not os.path.exists(path):
                self._problem(name, "a symbolic link to nothing", "remove or repair the link")
            elif os.path.isdir(path):
                self._not_read.add(PathKind.LINK, name, entry.path)
            elif not named and place(real, self._root) is None:
                hint = "name the file itself to have it read"
                self._problem(name, "a symbolic link to a file outside of the repository", hint)
            elif (place(real, self._root) or real) not in self._taken:
                self._taken.add(place(real, self._root) or real)
                self._found.files.append(DataFile(name))
        elif os.path.isdir(path):
            self._note(_SUBMODULE, name)
        elif os.path.lexists(path):
            self._found.files.append(DataFile(name, "", self._old(entry)))
        elif entry.blob:  # a sparse checkout leaves it out
            self._found.files.append(DataFile(name, entry.blob, self._old(entry)))

    def _old(self, entry: DiffEntry) -> str:
        if self._whole or (entry.path != entry.old_path and not self._was_judged(entry.old_path)):
            return ""
        return entry.old_file

    def _was_judged(self, path: str) -> bool:
        """Whether a file of that name was found by a search like this one."""
        below = [folder for folder in self._folders if not folder or path.startswith(f"{folder}/")]
        if self._folders and not below:
            return False
        return any(self._wanted.found(path, folder) for folder in below or [""])

    def _target(self, path: str) -> tuple[str, KeptVersions] | None:
        try:
            return self._comparison.target(path, self._versions.objects.read)
        except NotInRepositoryError:
            return None

    def _leads_to_folder(self, path: str) -> bool:
        end = self._comparison.leads_to(path, self._versions.objects.read)
        return end == "." or any(kept.startswith(f"{end}/") for kept in self._comparison.kept)

    def _note(self, words: tuple[str, str], name: str) -> None:
        self._notes.setdefault(words, []).append(name)

    def _problem(self, name: str, message: str, hint: str) -> None:
        self._found.problems.append(unreadable(name, message, hint))


def _order(path: str) -> list[tuple[bool, bytes]]:
    """Return the key that sorts as a search does: files before folders."""
    *folders, name = path.split("/")
    return [*((True, os.fsencode(folder)) for folder in folders), (False, os.fsencode(name))]


def _shown(path: str, inside: str) -> str:
    return os.path.join(*([] if path == os.curdir else [path]), *inside.split("/"))
