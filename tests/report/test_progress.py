from __future__ import annotations

import io
import threading
import time

from sqsd_lint.common.progress import Progress
from sqsd_lint.report.style.progress import TerminalProgress, terminal_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def wait_for(stream: io.StringIO, text: str) -> str:
    deadline = time.monotonic() + 60  # only ends a wait for what never comes
    while text not in stream.getvalue() and time.monotonic() < deadline:
        time.sleep(0.02)
    return stream.getvalue()


def test_only_a_terminal_gets_a_bar() -> None:
    assert terminal_progress(stream=io.StringIO()) is None
    bar = terminal_progress(stream=Terminal())
    assert bar is not None
    bar.stop()


def test_a_short_run_prints_nothing() -> None:
    stream = Terminal()
    bar: Progress = TerminalProgress(stream=stream, delay=60)
    bar.status("loading model")
    bar.start(10)
    bar.advance(10)
    bar.stop()
    bar.stop()
    assert stream.getvalue() == ""


def test_a_long_run_shows_step_rows_and_goes_away() -> None:
    threads = set(threading.enumerate())
    stream = Terminal()
    bar = TerminalProgress(stream=stream, delay=0)
    bar.status("scoring [bold]x")
    assert "scoring [bold]x" in wait_for(stream, "scoring")
    bar.start(2000)
    bar.advance(500)
    assert "500 of 2,000 rows" in wait_for(stream, "500 of 2,000 rows")
    bar.start(30)
    assert "0 of 30 rows" in wait_for(stream, "0 of 30 rows")
    bar.stop()
    assert stream.getvalue().endswith(("\x1b[2K", "\n", "\x1b[?25h"))
    printed = len(stream.getvalue())
    for thread in set(threading.enumerate()) - threads:
        thread.join(timeout=60)
    assert set(threading.enumerate()) <= threads
    assert len(stream.getvalue()) == printed


def test_a_bar_that_comes_late_knows_what_was_done() -> None:
    stream = Terminal()
    bar = TerminalProgress("step", stream, delay=0.2)
    bar.start(40)
    bar.advance(7)
    assert "7 of 40 steps" in wait_for(stream, "7 of 40 steps")
    bar.stop()
