from __future__ import annotations

import io
import threading
import time

from sqsd_lint.common.progress import Progress
from sqsd_lint.report.style.progress import LineProgress, TerminalProgress, terminal_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def wait_for(stream: io.StringIO, text: str) -> str:
    deadline = time.monotonic() + 60  # only ends a wait for what never comes
    while text not in stream.getvalue() and time.monotonic() < deadline:
        time.sleep(0.02)
    return stream.getvalue()


def test_only_a_terminal_gets_a_bar() -> None:
    lines = terminal_progress(stream=io.StringIO())
    assert isinstance(lines, LineProgress)
    lines.close()
    bar = terminal_progress(stream=Terminal())
    assert isinstance(bar, TerminalProgress)
    bar.close()


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


def test_a_log_gets_lines_until_the_run_is_over() -> None:
    threads = set(threading.enumerate())
    stream = io.StringIO()
    lines: Progress = LineProgress(stream=stream, every=0.01)
    assert isinstance(lines, LineProgress)
    assert "sqsd-lint: reading\n" in wait_for(stream, "reading")
    lines.status("loading \x1b[31mmodel")
    assert "sqsd-lint: loading \\x1b[31mmodel\n" in wait_for(stream, "model\n")
    lines.start(2000)
    lines.advance(500)
    text = wait_for(stream, "500 of 2,000 rows, ")
    assert "rows/s, about" in text
    assert text.rpartition("500 of")[2].count("left") <= 1
    lines.stop()
    lines.start(30)
    assert "0 of 30 rows" in wait_for(stream, "0 of 30 rows")
    lines.close()
    printed = stream.getvalue()
    assert set(threading.enumerate()) <= threads
    assert stream.getvalue() == printed
    assert all(line.startswith("sqsd-lint: ") for line in printed.splitlines())


def test_a_short_run_leaves_no_line_in_a_log() -> None:
    stream = io.StringIO()
    lines = LineProgress(stream=stream, every=600)
    lines.start(10)
    lines.advance(10)
    lines.close()
    assert stream.getvalue() == ""


def test_a_log_that_is_closed_ends_no_run() -> None:
    stream = io.StringIO()
    lines = LineProgress(stream=stream, every=0.01)
    wait_for(stream, "reading")
    stream.close()
    lines.close()
