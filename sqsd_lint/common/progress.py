"""Count the steps of a long computation; `report.style.progress` draws them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

# Told which step begins now, in words.
Status = Callable[[str], None]


class Progress(Protocol):
    """Told about a run as it goes. Calls come from one thread, in the order status/start, advance, stop."""

    def status(self, text: str) -> None:
        """Names the step that begins now, such as `loading model`."""

    def start(self, total_rows: int) -> None:
        """Begin to count: `total_rows` rows (or steps) lie ahead. A second call starts a new count."""

    def advance(self, rows: int) -> None:
        """`rows` more of them are done."""

    def stop(self) -> None:
        """End the display; harmless when called twice."""
