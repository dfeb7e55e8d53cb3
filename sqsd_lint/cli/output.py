"""Where a command writes: standard output, or a file that appears only when it is whole."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from sqsd_lint.errors import UsageError
from sqsd_lint.report.progress import TerminalProgress, terminal_progress


def check_output_file(name: str | None) -> None:
    """Refuses an output file that cannot be written, before a long run rather than after it.

    Raises:
        UsageError: its folder does not exist, or it is a folder.
    """
    if name is None:
        return
    path = Path(name)
    if path.is_dir():
        raise UsageError(f"--output-file: {name} is a folder", hint="Name a file.")
    if not path.parent.is_dir():
        raise UsageError(f"--output-file: there is no folder {path.parent}", hint="Make it first.")


@contextmanager
def open_output(name: str | None) -> Iterator[IO[str]]:
    """Standard output, or a UTF-8 file that takes its name once everything is written."""
    if name is None:
        yield sys.stdout
        return
    with replacing(Path(name)) as path, path.open("w", encoding="utf-8", newline="\n") as stream:
        yield stream


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write to, renamed to `target` at the end; after an error `target` is what it was before."""
    if target.exists() and not target.is_file():  # a device or a named pipe
        yield target
        return
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    path = Path(name)
    try:
        yield path
        path.chmod(0o666 & ~_umask())
        path.replace(target)
    finally:
        with suppress(FileNotFoundError):
            path.unlink()


@contextmanager
def progress(wanted: bool = True, unit: str = "row") -> Iterator[TerminalProgress | None]:
    """A progress bar for the length of a run, gone before anything else is printed."""
    bar = terminal_progress(unit) if wanted else None
    try:
        yield bar
    finally:
        if bar is not None:
            bar.stop()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
