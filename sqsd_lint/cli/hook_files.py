"""Git hooks on disk: ours are copied into place; what stood there before is kept, never lost."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sqsd_lint.common.atomic import write_whole
from sqsd_lint.discover.git.repository import Git
from sqsd_lint.errors import UsageError
from sqsd_lint.resources import hooks_dir

NAMES = ("pre-commit", "pre-push", "pre-receive")

# The second line of every hook of ours, of whatever version.
_MARK = b"# sqsd-lint hook:"

# Where a hook finds the command: git may run it with another PATH than the shell's.
_COMMAND_KEY = "sqsd-lint.command"


class HookFiles:
    """The hooks of the repository around the working folder.

    Raises:
        UsageError: there is none.
    """

    def __init__(self) -> None:
        self._git = Git("sqsd-lint hook")
        # core.hooksPath counts, and a linked work tree has the hooks of the main one.
        self._folder = Path(self._git.text("rev-parse", "--git-path", "hooks")).absolute()

    def default(self) -> Sequence[str]:
        """Return the hook that suits the repository: pre-receive where it is bare, as on a server."""
        bare = self._git.text("rev-parse", "--is-bare-repository") == "true"
        return ("pre-receive",) if bare else ("pre-commit",)

    def install(self, name: str, *, force: bool = False) -> str:
        """Put a hook in place and return what was done, in words.

        Args:
            force: keep a hook that is not ours beside the new one, which runs it first.

        Raises:
            UsageError: a hook that is not ours stands there without `force`, or a second one was kept before.
        """
        source = (hooks_dir() / name).read_bytes()
        path = self._folder / name
        note = ""
        if os.path.lexists(path) and not _is_ours(path):
            kept = _keep(path, force)
            note = f"; the hook that was there runs first, as {kept.name}"
        self._remember_command()
        old = path.read_bytes() if path.is_file() else None
        if old == source and os.access(path, os.X_OK):
            return f"{path}: in place already"
        _write(path, source)
        return f"{path}: {'installed' if old is None else 'updated'}{note}"

    def uninstall(self, name: str) -> str:
        """Remove a hook if it is ours, put back what stood there, and return what was done, in words."""
        path = self._folder / name
        if not os.path.lexists(path):
            return f"{path}: not installed"
        if not _is_ours(path):
            return f"{path}: left alone, since sqsd-lint did not install it"
        path.unlink()
        if not any(_is_ours(self._folder / other) for other in NAMES):
            with suppress(UsageError):  # nothing was remembered
                self._git.text("config", "--local", "--unset-all", _COMMAND_KEY)
        kept = _kept(path)
        if not os.path.lexists(kept):
            return f"{path}: removed"
        kept.rename(path)
        return f"{path}: removed, and the hook that was there before is back"

    def _remember_command(self) -> None:
        command = Path(sys.argv[0]).absolute()
        if command.stem != "sqsd-lint" or not os.access(command, os.X_OK):
            # Started as `python -m sqsd_lint`: the command of the same environment.
            command = Path(sysconfig.get_path("scripts")) / "sqsd-lint"
        if os.access(command, os.X_OK):
            self._git.text("config", "--local", _COMMAND_KEY, str(command))


def _is_ours(path: Path) -> bool:
    # A link is somebody's own arrangement, even one that leads to a hook of ours.
    return path.is_file() and not path.is_symlink() and _MARK in path.read_bytes()[:200]


def _kept(path: Path) -> Path:
    return path.with_name(f"{path.name}.before-sqsd-lint")


def _keep(path: Path, force: bool) -> Path:
    kept = _kept(path)
    if not force:
        raise UsageError(
            f"{path}: there is a hook that sqsd-lint did not install",
            hint=f"With --force it is kept as {kept.name} and runs first.",
        )
    if os.path.lexists(kept):
        raise UsageError(
            f"{path}: there is a hook that sqsd-lint did not install, and {kept.name} holds another one",
            hint="Remove one of the two.",
        )
    path.rename(kept)
    return kept


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content, mode=0o755)
