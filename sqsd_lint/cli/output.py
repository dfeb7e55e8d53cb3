"""Where a command writes: standard output, or a file that appears only when it is whole."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from sqsd_lint.common import atomic
from sqsd_lint.errors import UsageError
from sqsd_lint.report import FORMATS
from sqsd_lint.report.style.progress import LineProgress, TerminalProgress, terminal_progress


@dataclass(frozen=True, slots=True)
class Target:
    """One report to write: its format, and its file or None for standard output."""

    format: str
    file: str | None = None


def targets(wanted: Sequence[str], output_file: str | None, default: str) -> list[Target]:
    """Return what `--output-format` and `--output-file` ask for, files first: no closed pipe costs one.

    Args:
        wanted: formats, each with `:FILE` or without.
        output_file: the file of the one without.
        default: the format where none is wanted.

    Raises:
        UsageError: an unknown format, two reports for one place, or a place that cannot be written.
    """
    found = [_target(item) for item in wanted or [default]]
    free = [target for target in found if target.file is None]
    if len(free) > 1:
        raise UsageError(
            f"--output-format: {' and '.join(target.format for target in free)} both go to one place",
            hint=f"Give all but one a file: --output-format {free[0].format}:FILE.",
        )
    if output_file is not None:
        if not free:
            raise UsageError(
                "--output-file: every --output-format has a file of its own", hint="Leave --output-file out."
            )
        found = [replace(target, file=target.file or output_file) for target in found]
    files = [os.path.abspath(target.file) for target in found if target.file is not None]
    for file in files:
        check_output_file(file, "--output-file" if output_file is not None else "--output-format")
    if len(set(files)) < len(files):
        twice = next(file for file in files if files.count(file) > 1)
        raise UsageError(f"--output-format: two reports go to {twice}", hint="Give each a file of its own.")
    return sorted(found, key=lambda target: target.file is None)


def _target(text: str) -> Target:
    format, colon, file = text.partition(":")
    if format not in FORMATS:
        raise UsageError(
            f"--output-format: there is no format {format!a}", hint=f"Choose one of {', '.join(FORMATS)}."
        )
    if colon and not file:
        raise UsageError(f"--output-format: no file behind {text!a}", hint=f"Write {format}:FILE.")
    return Target(format, file or None)


def check_output_file(name: str | None, option: str = "--output-file") -> None:
    """Refuse an output file that cannot be written, before a long run rather than after it.

    Raises:
        UsageError: its folder does not exist, or it is a folder.
    """
    if name is None:
        return
    path = Path(name)
    if path.is_dir():
        raise UsageError(f"{option}: {name} is a folder", hint="Name a file.")
    if not path.parent.is_dir():
        raise UsageError(f"{option}: there is no folder {path.parent}", hint="Make it first.")


@contextmanager
def open_output(name: str | None) -> Iterator[IO[str]]:
    """Open standard output, or a UTF-8 file that takes its name once everything is written."""
    if name is None:
        yield sys.stdout
        return
    with replacing(Path(name)) as path, path.open("w", encoding="utf-8", newline="\n") as stream:
        yield stream


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path to write to, renamed to `target` at the end; after an error `target` is what it was."""
    if target.exists() and not target.is_file():  # a device or a named pipe
        yield target
        return
    with atomic.replacing(target) as path:
        yield path


@contextmanager
def progress(wanted: bool = True, unit: str = "row") -> Iterator[TerminalProgress | LineProgress | None]:
    """Show how far a run is, gone before anything else is printed: a bar, or lines in a log."""
    bar = terminal_progress(unit) if wanted else None
    try:
        yield bar
    finally:
        if bar is not None:
            bar.close()
