"""The command as a process: `sqsd-lint`, and `python -m sqsd_lint`.

What may happen before the command is there is met here: streams that are closed, and a signal in the middle
of its imports.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from types import FrameType

from sqsd_lint.errors import ExitCode, Terminated


def start() -> int:
    """Run the command of this process and return its exit code; a signal is one line on stderr, and 3."""
    try:
        open_closed_streams()
        signal.signal(signal.SIGTERM, _terminate)
        from sqsd_lint.cli.app import main

        code = main()
    except KeyboardInterrupt as error:
        _ignore_signals()
        word = "terminated" if isinstance(error, Terminated) else "interrupted"
        print(f"error: {word}", file=sys.stderr)
        code = ExitCode.CANNOT_SCORE
        # After an interrupt within an exec of text, as dataclasses have in imports, CPython ends by SIGINT,
        # whoever has caught it, unless another exec has begun since.
        exec("")
    _ignore_signals()  # nothing is left to be interrupted but the end of the process
    return code


def open_closed_streams() -> None:
    """Put something in place of standard streams that are closed.

    The next files that are opened would get their numbers, and be read or written for them. Nothing can be
    read from a closed input, not even its end, and what is written to a closed output is lost.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        if getattr(sys, name) is None:
            raw = io.FileIO(number, "r" if number == 0 else "w", closefd=False)
            buffered = io.BufferedReader(raw) if number == 0 else io.BufferedWriter(raw)
            setattr(sys, name, io.TextIOWrapper(buffered, encoding="utf-8"))


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _ignore_signals() -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
