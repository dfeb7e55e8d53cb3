"""Show progress on standard error: a bar on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

import sys
import threading
import time
from typing import IO, TYPE_CHECKING

from sqsd_lint.common import numbers
from sqsd_lint.common.escape import escape

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

# Shorter runs print nothing but their report.
DELAY_SECONDS = 2.0
LINE_SECONDS = 10.0


class TerminalProgress:
    """A `sqsd_lint.common.progress.Progress` that shows the step, a bar, rows per second and the time left.

    The bar comes from a timer, so that it appears even while one long call (loading a model) runs.
    """

    def __init__(
        self, unit: str = "row", stream: IO[str] | None = None, delay: float = DELAY_SECONDS
    ) -> None:
        self._unit = unit
        self._stream = sys.stderr if stream is None else stream
        self._lock = threading.Lock()
        self._text = ""
        self._total: int | None = None
        self._done = 0
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._timer = threading.Timer(delay, self._show)
        self._timer.daemon = True
        self._timer.start()

    def status(self, text: str) -> None:
        with self._lock:
            self._text = text = escape(text)
            if self._bar is not None and self._task is not None:
                self._bar.update(self._task, description=text)

    def start(self, total_rows: int) -> None:
        with self._lock:
            self._total, self._done = total_rows, 0
            if self._bar is not None:
                self._new_task(self._bar)

    def advance(self, rows: int) -> None:
        with self._lock:
            self._done += rows
            if self._bar is not None and self._task is not None:
                self._bar.update(self._task, completed=self._done)

    def stop(self) -> None:
        self._timer.cancel()
        with self._lock:
            bar, self._bar = self._bar, None
        if bar is not None:
            bar.stop()

    close = stop

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        # Standard error may be redrawn by the bar only; a thread of rich refreshes it.
        console = Console(file=self._stream, markup=False, emoji=False, highlight=False)
        bar = Progress(*_columns(self._unit), console=console, transient=True)
        with self._lock:
            if self._timer.finished.is_set():  # stopped meanwhile
                return
            self._bar = bar
            self._new_task(bar)
            bar.start()

    def _new_task(self, bar: Progress) -> None:
        if self._task is not None:
            bar.remove_task(self._task)
        self._task = bar.add_task(self._text, total=self._total, completed=self._done)


class LineProgress:
    """A `sqsd_lint.common.progress.Progress` for logs: the step, the rows and the time left, line by line.

    A thread of its own writes them, so that they appear even while one long call runs.

    Args:
        unit: what is counted.
        every: seconds between two lines, and before the first.
    """

    def __init__(self, unit: str = "row", stream: IO[str] | None = None, every: float = LINE_SECONDS) -> None:
        self._unit = unit
        self._stream = sys.stderr if stream is None else stream
        self._every = every
        self._text = ""
        self._total: int | None = None
        self._done = 0
        self._begun = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._write_lines, daemon=True)
        self._thread.start()

    def status(self, text: str) -> None:
        self._text = escape(text)

    def start(self, total_rows: int) -> None:
        self._begun, self._done, self._total = time.monotonic(), 0, total_rows

    def advance(self, rows: int) -> None:
        self._done += rows

    def stop(self) -> None:
        """Forget the count, as between two steps; the lines end with `close`."""
        self._total = None

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _write_lines(self) -> None:
        while not self._stopped.wait(self._every):
            try:
                self._stream.write(f"{self._line()}\n")
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads any more
                return

    def _line(self) -> str:
        total, done = self._total, self._done
        if total is None:
            return f"sqsd-lint: {self._text or 'reading'}"
        text = f"sqsd-lint: {done:,} of {total:,} {self._unit}s"
        spent = time.monotonic() - self._begun
        if not done or spent <= 0:
            return f"{text}: {self._text}" if self._text else text
        left = (total - done) * spent / done
        return f"{text}, {done / spent:,.1f} {self._unit}s/s, about {numbers.duration(left)} left"


def terminal_progress(unit: str = "row", stream: IO[str] | None = None) -> TerminalProgress | LineProgress:
    """Return a progress bar over rows (or another unit), or lines of text where there is no terminal."""
    stream = sys.stderr if stream is None else stream
    return TerminalProgress(unit, stream) if stream.isatty() else LineProgress(unit, stream)


def _columns(unit: str) -> list[ProgressColumn]:
    from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Counts(ProgressColumn):
        """`1,204 of 2,000 rows · 3.1 rows/s`; nothing while the total is unknown."""

        def render(self, task: Task) -> Text:
            if task.total is None:
                return Text("")
            speed = f" · {task.speed:,.1f} {unit}s/s" if task.speed else ""
            return Text(f"{int(task.completed):,} of {int(task.total):,} {unit}s{speed}", "dim")

    return [
        SpinnerColumn(style="cyan"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24, complete_style="cyan", finished_style="cyan"),
        Counts(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    ]
