"""What a walk leaves out: .gitignore and .sqsdlintignore of every folder, and the user's own patterns."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqsd_lint.errors import UsageError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

OWN_FILE = ".sqsdlintignore"

_EVERYTHING_IN = re.compile(r"/\*\*\s*$")


def text_on_disk(path: str) -> str | None:
    """Return the text of an ignore file, None where there is none.

    Raises:
        OSError: it cannot be read.
    """
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


@dataclass(frozen=True, slots=True)
class IgnoreFiles:
    """Which ignore files count, and where they come from.

    Attributes:
        names: what they are called; the later file decides where two in a folder speak.
        text: the text of the one at an absolute path, None where there is none.
    """

    names: tuple[str, ...] = (".gitignore", OWN_FILE)
    text: Callable[[str], str | None] = text_on_disk


ON_DISK = IgnoreFiles()


class Ignore:
    """The patterns that hold in one folder, a linked list up to the root of the repository.

    Args:
        folder: absolute path that the patterns are relative to.
        spec: the folder's own patterns, None when it has none.
        parent: the patterns of the folder above, which yield to these.
    """

    def __init__(self, folder: str, spec: GitIgnoreSpec | None, parent: Ignore | None) -> None:
        self._folder = folder
        self._spec = spec
        self._parent = parent

    @classmethod
    def above(cls, folder: str, files: IgnoreFiles = ON_DISK) -> Ignore | None:
        """Return what the folders above `folder` hold, up to the repository's root or the working folder."""
        root, above = folder, []
        here = os.getcwd()
        while not os.path.exists(os.path.join(root, ".git")) and root != here:
            outer = os.path.dirname(root)
            if outer == root:
                return None
            root = outer
            above.append(root)
        ignore: Ignore | None = None
        for name in reversed(above):
            ignore = cls.of(name, ignore, files)
        return ignore

    @classmethod
    def of(cls, folder: str, parent: Ignore | None, files: IgnoreFiles = ON_DISK) -> Ignore | None:
        """Return what holds in `folder`.

        Raises:
            OSError: an ignore file that cannot be read.
        """
        lines: list[str] = []
        for name in files.names:
            lines.extend((files.text(os.path.join(folder, name)) or "").splitlines())
        return cls(folder, _spec(lines, strict=False), parent) if lines else parent

    def matches(self, path: str, *, is_folder: bool = False) -> bool:
        """Return whether an absolute path is to be left out; the innermost folder with an opinion decides."""
        ignore: Ignore | None = self
        while ignore is not None:
            if ignore._spec is not None:
                name = os.path.relpath(path, ignore._folder).replace(os.sep, "/") + "/" * is_folder
                opinion = ignore._spec.check_file(name).include
                if opinion is not None:
                    return opinion
            ignore = ignore._parent
        return False


class Exclude:
    """The user's patterns, as in .gitignore, relative to the working folder.

    Raises:
        UsageError: a pattern that means nothing.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._spec = _spec(patterns, strict=True) if patterns else None
        self._here = os.getcwd() if patterns else ""

    def matches(self, path: str, *, is_folder: bool = False) -> bool:
        """Return whether an absolute path is excluded, itself or by a folder above it."""
        if self._spec is None:
            return False
        inside = path.startswith(os.path.join(self._here, ""))
        name = os.path.relpath(path, self._here) if inside else path.lstrip(os.sep)
        return bool(self._spec.check_file(name.replace(os.sep, "/") + "/" * is_folder).include)


def _spec(lines: Sequence[str], *, strict: bool) -> GitIgnoreSpec:
    # Not at the top: most runs name their files and need no patterns.
    from pathspec import GitIgnoreSpec

    sound = []
    for line in lines:
        # "d/**" is what lies in d, which git then still looks into; pathspec would match "d/" itself, too.
        line = _EVERYTHING_IN.sub("/**/*", line)
        try:
            GitIgnoreSpec.from_lines([line])
        except (ValueError, re.error) as error:
            if strict:
                raise UsageError(
                    f"the exclude pattern {line!r} means nothing: {error}", hint="write it as in .gitignore"
                ) from error
            continue  # as git does
        sound.append(line)
    return GitIgnoreSpec.from_lines(sound)
