"""Count the work that code does, so that a test of its cost gives the same answer on a busy machine.

Lines of Python, opened files and started processes are counted; CPU seconds, which other processes do not
use up, only bound work inside one call of a C library, such as a regular expression's.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


def lines_run(function: Callable[[], object]) -> int:
    """Return how many lines of Python `function` runs, those of the libraries that it calls included."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


class ComparedName(str):
    """A string that counts how often it is compared with one of its own kind."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        type(self).compared += 1
        return str.__eq__(self, other) is True


_events: list[tuple[str, str]] | None = None
_hooked: list[bool] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _events is not None and event in ("open", "subprocess.Popen", "socket.connect"):
        _events.append((event, str(arguments[0])))


@contextmanager
def audited() -> Iterator[list[tuple[str, str]]]:
    """Record the files, processes and sockets that the block opens: (event, path or program) each."""
    global _events
    if not _hooked:  # an audit hook stays until the interpreter ends
        sys.addaudithook(_audit)
        _hooked.append(True)
    _events = events = []
    try:
        yield events
    finally:
        _events = None


def run_within_cpu_seconds(code: str, seconds: int) -> None:
    """Run `code` in a Python of its own, which the system ends once it has computed for `seconds`.

    Raises:
        AssertionError: it was ended, or failed.
    """

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stderr}"
